"""Remembers the runs that were not finished, so that an interrupted one can go on."""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from millrace_client import formats
from millrace_client.errors import MillraceError


class NothingToResume(MillraceError):
    """No interrupted run of this file with these options is known."""


class Run:
    """What a run is known by to the server, and how its file is cut, kept until it is over."""

    def __init__(self, name: str, options: Sequence[Any]) -> None:
        """Name a run of a file with these options."""
        told = json.dumps([_identity(name), *options])
        folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "millrace" / "jobs"
        self._file = folder / hashlib.sha256(told.encode()).hexdigest()[:32]
        self._named = name != formats.STANDARD

    def begin(self, batch: int, *, resume: bool) -> tuple[str, int]:
        """Begin the run, or find the interrupted one. Return its idempotency key, and the rows of a part.

        Raises NothingToResume.
        """
        if resume:
            return self._interrupted()
        key = str(uuid4())
        if self._named:
            with suppress(OSError):  # without a place to remember it, the run cannot be resumed, and that is all
                self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                unfinished = self._file.with_suffix(f".{os.getpid()}")
                unfinished.write_text(json.dumps({"key": key, "batch": batch}), encoding="utf-8")
                unfinished.replace(self._file)
        return key, batch

    def _interrupted(self) -> tuple[str, int]:
        if not self._named:
            raise NothingToResume("standard input cannot be read again; leave --resume out")
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            return found["key"], found["batch"]
        except (OSError, ValueError, KeyError):
            words = "no interrupted run of this file with these options is known here; leave --resume out"
            raise NothingToResume(words) from None

    def forget(self) -> None:
        """Say that the run is over."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)


def _identity(name: str) -> list[Any]:
    """Tell a file from another, and from itself when it was changed."""
    if name == formats.STANDARD or formats.is_url(name):
        return [name]
    found = Path(name).resolve()
    return [str(found), found.stat().st_size, found.stat().st_mtime_ns]
