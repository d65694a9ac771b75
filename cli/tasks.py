"""`millrace tasks` and `millrace task`: what is known of tasks, straight from the database."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Row, select

from cli.database import database
from cli.replay import Since
from cli.sql import in_form, print_rows, print_table, short
from registry import versions
from serving import wire
from store.states import Priority, Status
from store.tables import task_inputs
from store.tables import tasks as tasks_table
from store.tasks import BY_INDEX, newest
from store.webhook_tables import webhooks

WIDTH = 48
"""Characters of one value that are shown."""

FEW = 10
"""Inputs of a task that are shown, unless more are asked for."""


@click.command()
@click.option("--status", type=click.Choice([state.value for state in Status], case_sensitive=False))
@click.option("--model", help="only this model's")
@click.option("--client", help="only this client's")
@click.option("--since", type=Since(), help="submitted since: 30m, 6h, 2d, or an RFC 3339 time")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@in_form
def tasks(
    status: str | None, model: str | None, client: str | None, since: datetime | None, limit: int, form: str | None
) -> None:
    """List tasks, newest first."""
    query, values = newest(
        status=Status(status.upper()) if status else None,
        model=model,
        client=client,
        submitted_after=since,
        limit=limit,
    )
    with database("tasks") as engine, engine.connect() as connection:
        connection.execute(BY_INDEX)
        result = connection.execute(query, values)
        columns, rows = list(result.keys()), result.all()
    print_rows(columns, rows, form)
    if form is None:
        click.echo(f"{len(rows)} {'task' if len(rows) == 1 else 'tasks'}; times are in UTC")


@click.command()
@click.argument("task_id", type=click.UUID)
@click.option("--inputs", "shown", type=click.IntRange(0), default=FEW, show_default=True, help="Show so many inputs.")
def task(task_id: UUID, shown: int) -> None:
    """Show all that is known of a task: its state, its times, its inputs, and what came of them."""
    with database("task") as engine, engine.connect() as connection:
        found = connection.execute(select(tasks_table).where(tasks_table.c.id == task_id)).one_or_none()
        if found is None:
            sys.exit(f"millrace task: there is no task {task_id}")
        callback = connection.execute(select(webhooks).where(webhooks.c.task_id == task_id)).one_or_none()
        payload = connection.scalar(select(task_inputs.c.payload).where(task_inputs.c.task_id == task_id))
        predictions: Sequence[Row[Any]] = []
        columns: list[str] = []
        version = versions.read(connection).latest(found.model)
        if found.status == Status.SUCCESS and version is not None:
            spec = version.spec
            table = versions.predictions_of(spec)
            columns = ["position", *(column.name for column in spec.stored_columns if column.kind != "bytes")]
            query = select(*(table.c[name] for name in columns)).where(table.c.task_id == task_id)
            predictions = connection.execute(query.order_by(table.c.position).limit(shown)).all()
    _print_task(found, callback)
    if predictions:
        print_table(columns, [list(map(_cut, row)) for row in predictions])
    elif payload is not None:
        try:
            waiting = wire.inputs(bytes(payload))
        except wire.UnknownFormat as error:
            sys.exit(f"millrace task: {error}")
        names = list(dict.fromkeys(name for one in waiting[:shown] for name in one))
        rows = [[place, *(_cut(one.get(name)) for name in names)] for place, one in enumerate(waiting[:shown])]
        print_table(["position", *names], rows)
    if 0 < shown < found.n_inputs:
        click.echo(f"… of {found.n_inputs:,} inputs; --inputs {found.n_inputs} shows all")


def _print_task(found: Row[Any], callback: Row[Any] | None) -> None:
    facts = {
        "task": found.id,
        "status": found.status,
        "model": found.model if found.model_version is None else f"{found.model} {found.model_version}",
        "inputs": found.n_inputs,
        "priority": Priority(found.priority).name.lower(),
        "client": found.client,
        "attempts": found.attempt,
        "submitted": found.submitted_at,
        "started": found.started_at,
        "finished": found.finished_at,
        "deadline": found.deadline,
        "leased until": found.lease_until,
        "trace": found.traceparent and found.traceparent.split("-")[1],
        "callback": callback and _callback(callback),
        "error": found.error,
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        if value is not None:
            exact = isinstance(value, datetime)
            table.add_row(Text(name, style="dim"), Text(f"{value:%Y-%m-%d %H:%M:%S.%f} UTC" if exact else short(value)))
    console = Console(highlight=False)
    console.print(table, soft_wrap=not console.is_terminal)
    console.print()


def _cut(value: Any) -> Any:
    """Shorten texts and lists, which may be long, to what a table can show."""
    if not isinstance(value, str | list):
        return value
    text = str(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _callback(row: Row[Any]) -> str:
    """The host only: the rest of the URL may hold a secret of its receiver."""
    host = row.url.split("/")[2]
    if row.delivered_at:
        return f"{host}: delivered {short(row.delivered_at)}"
    last = row.last_error or (f"HTTP {row.last_status}" if row.last_status else "not tried yet")
    return f"{host}: {'given up' if row.given_up_at else 'waits'} after {row.attempts} attempts ({last})"
