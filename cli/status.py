"""`millrace status`: one screen that says how the platform is."""

import sys
import time
from collections import Counter
from itertools import groupby

import click
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from cli.database import database
from cli.health import Up, up
from cli.sql import short
from store.overview import Overview, fetch_overview
from store.states import Priority

EVERY = 2.0
"""Seconds between two looks; rates are of the time between them."""

ONCE = 1.0
"""Seconds of which --once tells the rates."""

WIDE = 140
"""Characters of a line where no terminal says how many there is room for."""


@click.command()
@click.option("--once", is_flag=True, help="Print it once and end: with 1 where something does not answer, else 0.")
def status(once: bool) -> None:
    """Show services, workers, backlog, rates and the last failures; Ctrl-C ends it."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    with database("status") as engine:
        before = _look(engine)
        if once:
            time.sleep(ONCE)
            now, lights = _look(engine), up()
            console.print(screen(before, now, lights))
            sys.exit(0 if now is not None and all(well is True for well in lights.values()) else 1)
        try:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                while True:
                    now = _look(engine)
                    live.update(screen(before, now, up()), refresh=True)
                    before = now
                    time.sleep(EVERY)
        except KeyboardInterrupt:
            return


def _look(engine: Engine) -> Overview | None:
    try:
        with engine.connect() as connection:
            return fetch_overview(connection)
    except SQLAlchemyError:
        return None


def screen(before: Overview | None, now: Overview | None, lights: Up) -> RenderableType:
    """Draw what is known; rates are those between `before` and `now`."""
    services = Text.assemble(*(_light(name, ok) for name, ok in {"PostgreSQL": now is not None, **lights}.items()))
    if now is None:
        return Group(_title("Millrace"), services, Text("\nPostgreSQL does not answer; nothing else is known."))
    title = _title(f"Millrace   {now.now:%Y-%m-%d %H:%M:%S} UTC")
    parts = [title, services, Text(), _models(before or now, now), Text(), _workers(now), Text(), _failures(now)]
    for model, host, reason in now.unloaded:
        parts.append(Text(f"\n{model} could not be loaded on {host}: {reason}", style="bold red"))
    if now.callbacks_due:
        parts.append(Text(f"\n{now.callbacks_due} callbacks are due"))
    return Group(*parts)


def _title(words: str) -> Text:
    return Text(words, style="bold")


def _light(name: str, well: bool | str) -> tuple[str, str]:
    if well is True:
        return f"● {name}  ", "green"
    return f"✗ {name}: {well}  " if well else f"✗ {name} does not answer  ", "bold red"


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="ellipsis")
    return table


def _models(before: Overview, now: Overview) -> Table:
    seconds = max((now.now - before.now).total_seconds(), 0.001)
    table = _table("model", ">ready", ">busy", ">waiting: high", ">normal", ">low", ">oldest", ">tasks/s", ">inputs/s")
    for model in now.models:
        loaded = [row for row in now.workers if row.model == model]
        busy = sum(row.working_since is not None for row in loaded)
        waits = [now.queues.get((model, priority), (0, 0, 0.0)) for priority in Priority]
        tasks, inputs = (
            (_done(now, column)[model] - _done(before, column)[model]) / seconds
            for column in ("tasks_done", "inputs_done")
        )
        none_for_waiting = not loaded and any(count for count, *_ in waits)
        table.add_row(
            model,
            Text(str(len(loaded)), style="bold red" if none_for_waiting else ""),
            str(busy),
            *(f"{count:,}" for count, *_ in waits),
            _age(max(age for *_, age in waits)),
            f"{max(tasks, 0):,.0f}",  # a process that has gone took its count with it
            f"{max(inputs, 0):,.0f}",
        )
    return table


def _done(seen: Overview, column: str) -> Counter[str]:
    done: Counter[str] = Counter()
    for row in seen.workers:
        done[row.model] += getattr(row, column)
    return done


def _workers(now: Overview) -> Table:
    table = _table("worker", ">pid", "works on", ">for", ">tasks", ">inputs", ">from the cache", ">memory")
    for _, grouped in groupby(now.workers, key=lambda row: row.id):
        rows = list(grouped)
        busy = next((row for row in rows if row.working_since is not None), None)
        since = busy.working_since if busy else max(row.ready_at for row in rows)
        table.add_row(
            rows[0].host,
            str(rows[0].pid),
            busy.model if busy else Text("idle", style="dim"),
            _age((now.now - since).total_seconds()) if busy else "",
            f"{sum(row.tasks_done for row in rows):,}",
            f"{sum(row.inputs_done for row in rows):,}",
            f"{sum(row.cache_hits for row in rows):,}",
            _mebibytes(rows[0].resident_bytes),
        )
    if not now.workers:
        table.add_row(Text("no worker is ready", style="bold red"))
    return table


def _failures(now: Overview) -> RenderableType:
    if not now.failures:
        return Text("No task has failed.", style="dim")
    table = _table("failed", "model", "task", "why")
    table.columns[3].no_wrap = True
    for failure in now.failures:
        table.add_row(short(failure.at), failure.model, str(failure.task_id), short(failure.error.partition("\n")[0]))
    return table


def _mebibytes(size: int | None) -> str:
    return "" if size is None else f"{size / 2**20:,.0f} MiB"


def _age(seconds: float) -> str:
    if seconds < 1:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
