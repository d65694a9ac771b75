"""Python imports this at start-up from PYTHONPATH: `time.time` goes wrong by as many seconds as a file says."""

import os
import time
from pathlib import Path

LOOK_EVERY = 0.2

_file = Path(os.environ["WRONG_CLOCK"])
_time = time.time
_looked, _wrong = -1.0, 0.0


def _wrong_time() -> float:
    global _looked, _wrong
    if time.monotonic() - _looked > LOOK_EVERY:
        _looked = time.monotonic()
        try:
            _wrong = float(_file.read_text())
        except (OSError, ValueError):  # no such file; or half of one
            _wrong = 0.0
    return _time() + _wrong


time.time = _wrong_time
time.time_ns = lambda: int(_wrong_time() * 1e9)
