"""The heartbeat of a program that works in rounds, for its liveness probe: a file that each round touches.

A file, because PostgreSQL may be away, and a pooler in front of it hides which program asks.
"""

import sys
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

LATE = timedelta(seconds=30)
"""How much later than planned a round may begin: as long as a round of rescue takes while Redis is away."""


def beat(program: str) -> None:
    """Record that the program begins a round."""
    with suppress(OSError):  # on a machine with several users the file may be another's
        _last_round(program).touch()


def probe(program: str, *, interval: float) -> None:
    """End this process as a liveness probe: with an error if no round has begun for the interval, in seconds."""
    try:
        silent = timedelta(seconds=time.time() - _last_round(program).stat().st_mtime)
    except FileNotFoundError:
        sys.exit(f"{program} has not begun a round")
    if silent > LATE + timedelta(seconds=interval):
        sys.exit(f"{program} began its last round {silent.total_seconds():.0f} s ago")
    sys.stdout.write(f"{program} is alive\n")


def _last_round(program: str) -> Path:
    return Path(tempfile.gettempdir()) / f"millrace-{program}-last-round"
