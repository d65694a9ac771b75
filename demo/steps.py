"""Tells each step of the demo in one line when it is done; on a terminal, a bar shows how far it is until then."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn


class Step:
    """A step that goes on. `result` is what its line says in the end."""

    def __init__(self, bar: Progress, shown: TaskID, title: str) -> None:
        self._bar, self._shown = bar, shown
        self.result = title

    def advance(self, by: int) -> None:
        """Move the bar; several threads may do so."""
        self._bar.advance(self._shown, by)


@contextmanager
def step(console: Console, title: str, total: int | None = None) -> Iterator[Step]:
    """Show `title` while the step goes on, with a bar up to `total`; then print its result and the seconds it took."""
    start = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        going = Step(bar, bar.add_task(title, total=total), title)
        yield going
    console.print(f"{going.result} ({time.monotonic() - start:.1f} s)", soft_wrap=True, markup=False)
