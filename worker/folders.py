"""The folder in which the processes of a worker count."""

import os
import shutil
import tempfile
from pathlib import Path

FOLDERS = "millrace-metrics-"
"""What the name of a worker's folder begins with; its process id follows."""


def new() -> Path:
    """Make one, and clear away those of workers that were killed."""
    _clear_away()
    return Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-"))


def _clear_away() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*-*"):
        pid = folder.name.removeprefix(FOLDERS).partition("-")[0]
        if pid.isdigit() and (int(pid) == os.getpid() or not _lives(int(pid))):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True
