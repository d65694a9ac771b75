"""Python imports this at start-up from PYTHONPATH: it notes each call of a function of ours in the file CALLS."""

import os
import sys
import threading
import time
from types import FrameType

ROOT = os.environ["CALLS_ROOT"] + os.sep
OTHERS = (".", "tests")
"""What the names of folders begin with that hold no program of ours: the virtual environment, tests."""

_out = os.open(os.environ["CALLS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
_known: dict[str, str | None] = {}


def _note(frame: FrameType, event: str, _: object) -> None:
    if event != "call":
        return
    name = frame.f_code.co_filename
    try:
        file = _known[name]
    except KeyError:
        relative = name.removeprefix(ROOT)
        file = _known[name] = relative if relative != name and not relative.startswith(OTHERS) else None
    if file is not None:  # one short write to a file opened for appending is never mixed with another process's
        os.write(_out, f"{time.monotonic():.6f} {os.getpid()} {file}\n".encode())


threading.setprofile(_note)
sys.setprofile(_note)
