"""Folders that last as long as the process that made them: what a killed one leaves behind, the next one removes.

A process holds a lock for each of its folders. The kernel releases it with the process, whatever ends that.
"""

import fcntl
import os
import secrets
import shutil
import time
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 10.0
"""For one sweep, between two folders: the rest is for the next one, and no worker waits longer to start."""

LOCK = ".lock"


class Scratch:
    """An empty folder in another one, which holds nothing else than such folders."""

    def __init__(self, within: Path) -> None:
        """Remove what others have left there, then make the folder. Raises PermissionError for another user's."""
        within.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_own(within):
            raise PermissionError(f"{within} can be written by others; set TMPDIR to a folder of your own")
        sweep(within)
        lock, self.path = _new(within)
        # So that it goes, too, where nobody calls close: with this object, or at the process's orderly end.
        self._remove = weakref.finalize(self, _remove, lock, self.path, os.getpid())

    def close(self) -> None:
        self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sweep(within: Path) -> None:
    """Remove the folders whose process is no longer alive. What cannot be removed stays, and is logged."""
    if not within.is_dir() or not is_own(within):
        return
    until, removed = time.monotonic() + SWEEP_SECONDS, 0
    for file in sorted(within.glob(f"*{LOCK}")):
        if time.monotonic() > until:
            break
        with suppress(OSError):  # another process is sweeping, too
            lock = os.open(file, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                removed += _removed(file.with_suffix(""))
            finally:
                os.close(lock)
    if removed:
        log.info("scratch_removed", folder=str(within), count=removed, meaning="processes that were killed left them")


def is_own(folder: Path) -> bool:
    """Return whether nobody but this user may write to the folder."""
    status = folder.stat()
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def _new(within: Path) -> tuple[int, Path]:
    """Make a folder and take its lock, which is there before it: nobody sweeps a folder in between."""
    while True:
        made = within / secrets.token_hex(8)
        file = made.with_suffix(LOCK)
        lock = os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_nlink:  # or a sweep came between the two and has removed it
                made.mkdir(mode=0o700)
                return lock, made
        except BlockingIOError:  # such a sweep is still at it
            pass
        os.close(lock)


def _remove(lock: int, folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # or this is a fork of the process whose folder it is
        _removed(folder)
    os.close(lock)


def _removed(folder: Path) -> bool:
    """Remove a folder, then its lock, and return whether it could be: code may have made a tree of any kind there."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except (OSError, RecursionError) as error:
        log.warning("scratch_left", folder=str(folder), reason=str(error), remedy="remove it by hand")
        return False
    folder.with_suffix(LOCK).unlink(missing_ok=True)
    return True
