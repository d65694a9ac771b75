"""`millrace export`: one round of the export now, with its progress on standard error."""

import json
import sys
import time
from collections import Counter
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from blobs.address import UnusableBlobUrl, usable
from cli.database import database

if TYPE_CHECKING:
    from export.rounds import DayOutcome

WORDS = {"day_busy": "left to another program", "day_kept": "kept", "day_failed": "not exported"}


@click.command()
@click.argument("url", envvar="EXPORT_URL")
@click.option("--model", help="only this model's days")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="only this day (UTC)")
@click.option("--today/--no-today", default=True, show_default=True, help="also the day that has not ended")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each day, and one at the end.")
def export(url: str, model: str | None, day: datetime | None, today: bool, as_json: bool) -> None:
    """Write the predictions that URL lacks: Parquet by model and day, at file:///…, s3://… or gs://….

    A day is written again when the table has more rows of it than its file. EXPORT_URL is used where no URL is given.
    """
    try:
        usable(url)
    except UnusableBlobUrl as error:
        raise click.UsageError(f"URL: {error}") from None
    from export import rounds  # Arrow takes a while to import, and no other command needs it

    progress = _Progress()
    told: Counter[str] = Counter()
    rows = 0
    with database("export") as engine:
        exporter = rounds.Exporter(engine, url, progress.follow)
        tables = exporter.models()
        if model is not None and model not in tables:
            raise click.UsageError(f"there is no model {model!r}; there are: {', '.join(tables)}")
        chosen = {name: table for name, table in tables.items() if model in (None, name)}
        try:
            for outcome in exporter.round(chosen, only=day and day.date(), today=today):
                progress.end(outcome)
                told[outcome.event] += 1
                rows += outcome.rows if outcome.event == "day_exported" else 0
                if as_json:
                    click.echo(json.dumps(_described(outcome)))
        except rounds.RoundGivenUp as error:
            sys.exit(f"millrace export: {error}")
    files = told["day_exported"]
    if as_json:
        click.echo(json.dumps({"event": "export_finished", "files": files, "rows": rows, "failed": told["day_failed"]}))
    else:
        others = "".join(f"; {count} {WORDS[event]}" for event, count in told.items() if event in WORDS)
        click.echo(
            f"{files} {'file' if files == 1 else 'files'} written, {rows:,} {'row' if rows == 1 else 'rows'}{others}"
        )
    sys.exit(1 if told["day_failed"] else 0)


def _described(outcome: "DayOutcome") -> dict[str, Any]:
    about = {"event": outcome.event, "model": outcome.model, "day": outcome.day and outcome.day.isoformat()}
    if outcome.error is not None:
        return {**about, "reason": outcome.reason}
    return {**about, "rows": outcome.rows, "bytes": outcome.bytes, "seconds": round(outcome.seconds, 3)}


class _Progress:
    """Says on standard error how far the day under way is: in one line on a terminal, elsewhere each half minute."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._every = 0.5 if self._terminal else 30.0
        self._day: tuple[str, date] | None = None
        self._begun = self._said = 0.0

    def follow(self, model: str, day: date, rows: int, of: int) -> None:
        now = time.monotonic()
        if self._day != (model, day):
            self._day, self._begun, self._said = (model, day), now, now
        elif now - self._said > self._every:
            self._said = now
            rate = rows / (now - self._begun)
            click.echo(
                f"{self._start}{model} {day}: {rows:,} of {of:,} rows, {rate:,.0f} rows/s",
                err=True,
                nl=not self._terminal,
            )

    def end(self, outcome: "DayOutcome") -> None:
        rows = "row" if outcome.rows == 1 else "rows"
        what = f"{outcome.rows:,} {rows} in {outcome.seconds:.1f} s" if outcome.error is None else None
        name = f"{outcome.model} {outcome.day}" if outcome.day else outcome.model
        click.echo(f"{self._start}{name}: {what or f'{WORDS[outcome.event]}: {outcome.reason}'}", err=True)

    @property
    def _start(self) -> str:
        return "\r\x1b[K" if self._terminal else ""
