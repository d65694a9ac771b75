"""Shows how far a file is: a line that changes on a terminal, a line each half a minute elsewhere, or JSON events."""

import json
import sys
from time import monotonic

import click

from millrace_client.file_options import Progress

EVERY_ON_TERMINAL, EVERY_ELSEWHERE, EVERY_EVENT = 0.2, 30.0, 1.0


class ProgressLine:
    """Prints to standard error; call it with each Progress."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._as_json, self._quiet = as_json, quiet
        self._terminal = sys.stderr.isatty() and not as_json
        self._every = EVERY_EVENT if as_json else EVERY_ON_TERMINAL if self._terminal else EVERY_ELSEWHERE
        self._start = self._shown = monotonic()
        self._drawn = False

    def __call__(self, progress: Progress) -> None:
        now = monotonic()
        if self._quiet or now - self._shown < self._every:
            return
        self._shown = now
        if self._as_json:
            seconds = round(now - self._start, 1)
            fields = {"sent": progress.read, "scored": progress.scored, "rejected": progress.rejected}
            click.echo(json.dumps({"event": "progress", **fields, "seconds": seconds}), err=True)
            return
        line = self._line(progress, now - self._start)
        if self._terminal:
            click.echo(f"\r\x1b[2K{line}", err=True, nl=False)
            self._drawn = True
        else:
            click.echo(line, err=True)

    def end(self) -> None:
        """Leave the line free for what is printed next."""
        if self._drawn:
            click.echo("\r\x1b[2K", err=True, nl=False)
            self._drawn = False

    def _line(self, progress: Progress, seconds: float) -> str:
        done = progress.scored if progress.sent else progress.read
        rate = done / seconds if seconds else 0
        parts = [f"{progress.read:,} rows sent"]
        if progress.sent:
            parts = [f"{progress.scored:,} of {progress.read - progress.rejected:,} rows scored"]
        if progress.rejected:
            parts.append(f"{progress.rejected:,} rejected")
        parts.append(f"{rate:,.0f}/s")
        left = _left(progress, seconds)
        return ", ".join(parts if left is None else [*parts, f"{int(left) // 60}:{int(left) % 60:02} left"])


def _left(progress: Progress, seconds: float) -> float | None:
    """Return the seconds that remain, if they can be told."""
    if progress.sent:
        waiting = progress.read - progress.rejected - progress.scored
        return waiting * seconds / progress.scored if progress.scored else None
    return seconds * (1 - progress.share) / progress.share if progress.share else None
