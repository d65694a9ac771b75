"""The log that a child process writes: where its present run begins, its last lines, and its bound."""

import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO

MAX_BYTES, OLDER = 10_000_000, 2
"""A log that has grown past so many bytes becomes `<name>.log.1`, and so many older ones are kept."""

LAST_LINES = 15
_READ_BYTES = 64_000  # of the end of a log

_SAYS_WHY = re.compile(r"\b(?:FATAL|PANIC)\b|\[critical|\"critical\"")
_ADDS_NOTHING = re.compile(r"^(?:\s|\(Background on this error|$)|\b(?:HINT|DETAIL):")


class LogFile:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._run_begins = 0

    def open(self) -> IO[bytes]:
        """Open it for the output of a new run."""
        output = self.path.open("ab")
        self._run_begins = output.tell()
        return output

    def last_lines(self) -> str:
        """Return the last lines that the present run wrote."""
        return "\n".join(f"  {line}" for line in self._lines()[-LAST_LINES:])

    def cause(self) -> str:
        """Return the line of the present run that says why it ended: its last fatal one, or else its last one."""
        lines = [line for line in self._lines() if not _ADDS_NOTHING.search(line)]
        fatal = [line for line in lines if _SAYS_WHY.search(line)]
        return (fatal or lines or ["its log says nothing"])[-1]

    def rotate(self) -> None:
        """Copy a log that has grown too large and empty it: the process that writes it keeps it open."""
        if not self.path.exists() or self.path.stat().st_size < MAX_BYTES:
            return
        places = [self.path.with_name(f"{self.path.name}.{number}") for number in range(1, OLDER + 1)]
        for older, newer in zip(reversed(places), list(reversed(places))[1:], strict=False):
            if newer.exists():
                newer.replace(older)
        with suppress(OSError):  # a full disk: without the copy there is room again
            shutil.copyfile(self.path, places[0])
            shutil.copystat(self.path, places[0])
        with self.path.open("ab") as log:
            log.truncate(0)
        self._run_begins = 0

    def _lines(self) -> list[str]:
        with self.path.open("rb") as log:
            size = log.seek(0, 2)
            begin = self._run_begins if self._run_begins <= size else 0
            log.seek(max(begin, size - _READ_BYTES))
            return log.read().decode(errors="replace").splitlines()
