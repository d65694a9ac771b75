"""Starts again what has ended by itself: at once, then after growing pauses, while everything else goes on."""

import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from rich.markup import escape

from devstack.errors import CannotStart
from devstack.log_file import LogFile

PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""Seconds before the first start, the second one, and so on; the last pause repeats."""

FAILING = 3
"""A part that has ended so often without having been well in between keeps ending."""

WELL = 60.0
"""Seconds for which a part must run to be well again."""


class Supervised(Protocol):
    """A server or a program."""

    name: str

    @property
    def log(self) -> LogFile: ...

    def status(self) -> int | None:
        """Return its exit status if it has ended."""

    def start(self) -> None: ...


@dataclass
class _Watch:
    part: Supervised
    ends: int = 0
    started: float = field(default_factory=time.monotonic)
    due: float | None = None

    @property
    def failing(self) -> bool:
        return self.ends >= FAILING


class Supervisor:
    def __init__(self, say: Callable[[str], None], note: Callable[[list[str]], None]) -> None:
        """`say` tells a person what happened; `note` keeps the names of the parts that keep ending."""
        self._say = say
        self._note = note
        self._watched: list[_Watch] = []

    def watch(self, parts: Iterable[Supervised]) -> None:
        """Watch parts that have been started."""
        self._watched += map(_Watch, parts)

    def ended(self) -> Supervised | None:
        """Return a part that has ended, without starting it again."""
        return next((watch.part for watch in self._watched if watch.part.status() is not None), None)

    def turn(self) -> None:
        """Look at every part once, and start again what is due."""
        before = self._failing_names()
        for watch in self._watched:
            watch.part.log.rotate()
            if watch.due is None:
                self._look(watch)
            if watch.due is not None and time.monotonic() >= watch.due:
                self._start(watch)
        if (now := self._failing_names()) != before:
            self._note(now)

    def _failing_names(self) -> list[str]:
        return [watch.part.name for watch in self._watched if watch.failing]

    def _look(self, watch: _Watch) -> None:
        status = watch.part.status()
        if status is not None:
            self._has_ended(watch, how(status), watch.part.log.cause() if status >= 0 else "")
        elif watch.ends and time.monotonic() - watch.started > WELL:
            if watch.failing:
                self._say(f"[green]●[/green] {watch.part.name} is well again")
            watch.ends = 0

    def _start(self, watch: _Watch) -> None:
        try:
            watch.part.start()
        except (CannotStart, OSError) as error:
            self._has_ended(watch, "could not be started", str(error).partition("\n")[0])
        else:
            watch.started, watch.due = time.monotonic(), None

    def _has_ended(self, watch: _Watch, how_it_ended: str, cause: str) -> None:
        pause = PAUSES[min(watch.ends, len(PAUSES) - 1)]
        watch.ends += 1
        watch.due = time.monotonic() + pause
        when = f"in {pause:.0f} s" if pause else "now"
        why = f": {cause}" if cause else ""
        name = watch.part.name
        often = f"[bold red]✗ {name} keeps ending[/bold red] ({watch.ends} times): it"
        what = f"{how_it_ended}{why}. Starting it again {when}. Log: {watch.part.log.path}"
        self._say(f"{often if watch.failing else name} {escape(what)}")


def how(status: int) -> str:
    """Say how a process ended."""
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
