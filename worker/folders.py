"""The folder in which processes count for Prometheus, beside the process that started them, which adds up.

A file belongs to a place, not to a process: the process that replaces another counts on in its file, so neither the
files nor the time to read them grow with the processes that come and go.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDERS = "millrace-metrics-"
"""What the name of a folder begins with; the id of the process that made it follows."""


def new() -> Path:
    """Make one, which is gone when this process exits, and clear away those of processes that were killed."""
    _clear_away()
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-"))
    atexit.register(_remove_own, folder, os.getpid())
    return folder


class AddedUp(MultiProcessCollector):
    """What is counted in a folder, by processes living and dead."""

    def __init__(self, folder: Path, registry: CollectorRegistry) -> None:
        self._folder = folder
        super().__init__(registry, str(folder))  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        for place in sorted({file.stem.rpartition("_")[2] for file in self._folder.glob("gauge_live*.db")}):
            if (claim := _claim(self._folder, place)) is not None:
                _forget(self._folder, place)
                os.close(claim)
        found: Iterable[Metric] = super().collect()  # type: ignore[no-untyped-call]
        return found


def enter(folder: Path) -> None:
    """Have the metrics that this process makes from now on count in the folder, until it ends, however it ends."""
    place = next(place for place in map(str, count(1)) if _claim(folder, place) is not None)
    _forget(folder, place)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # the library reads it whenever it opens a file
    values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]


def _claim(folder: Path, place: str) -> int | None:
    """Return a lock on the place: None where a living process has it. Whoever dies lets go of it."""
    claim = os.open(folder / f"{place}.place", os.O_CREAT | os.O_RDWR, mode=0o600)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(claim)
        return None
    return claim


def _forget(folder: Path, place: str) -> None:
    """Drop what held only while the process at this place lived; its counts remain."""
    mark_process_dead(place, str(folder))  # type: ignore[no-untyped-call]


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _remove_own(folder: Path, maker: int) -> None:
    if os.getpid() == maker:  # and not a fork of it
        remove(folder)


def _clear_away() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*-*"):
        pid = folder.name.removeprefix(FOLDERS).partition("-")[0]
        if pid.isdigit() and (int(pid) == os.getpid() or not _lives(int(pid))):
            remove(folder)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True
