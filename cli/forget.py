"""`millrace forget`: erase one person's data. In containers: `python -m cli.forget`."""

import sys
from collections.abc import Sequence
from uuid import UUID

import click
from millrace_client.cli.encoding import print_anything
from sqlalchemy import Engine

from broker.address import UnusableRedis
from cli.cached_outputs import CachedOutputs
from cli.database import database
from cli.erasing import Author, erase
from cli.exported_days import exports
from cli.held_inputs import Person, UnusableKey, held, person
from cli.models.change import who_and_why
from devstack import local
from registry import versions
from registry.versions import NoSpec
from serving.wire import UnknownFormat
from store import deleted_days, erasing
from store.limits import holding
from telemetry import logs

REMAINS = 3
"""Exit status where something could not be erased; the command has said what."""

SHOWN = 5
"""Ids of tasks in a message."""


@click.command()
@click.option("--model", required=True, help="The model whose tables and tasks are searched.")
@click.option("--key", required=True, help="The person's key, as callers gave it in the model's key field.")
@click.option("--cancel", is_flag=True, help="Cancel the tasks that have the key and have not ended.")
@who_and_why
def forget(model: str, key: str, cancel: bool, by: str, reason: str | None, yes: bool) -> None:
    """Erase one person's data: predictions, inputs of failed tasks, cached outputs, and exported days."""
    logs.configure(logs.LogSettings())
    with database("forget") as engine:
        with engine.connect() as connection:
            found = versions.read(connection).versions_of(model)
        if not found:
            sys.exit(f"millrace forget: there is no model {model}; see `millrace models list`")
        try:
            whose = person(found, key)
            with holding(engine, deleted_days.LOCK) as alone:
                if not alone:
                    sys.exit("millrace forget: another program deletes predictions at present; run it again later")
                exported = exports(engine)
                waiting = _waiting(engine, whose, cancel=cancel)
                reason = reason if yes else _ask(engine, whose, reason, waiting)
                cached = CachedOutputs(local.redis_url(), found[-1].spec, found)
                erased = erase(engine, whose, exported, cached, Author(by, reason), waiting)
        except (UnusableKey, UnusableRedis, NoSpec, UnknownFormat) as error:
            sys.exit(f"millrace forget: {error}")
    rows = f"{erased.predictions:,} predictions in {erased.tasks:,} tasks"
    click.echo(f"{rows} erased, and the inputs of {erased.failed:,} failed tasks")
    if erased.outcomes:
        click.echo(f"{erased.outcomes:,} outcomes with the key erased")
    if cached.unknown:
        click.echo("cached outputs were not looked for, as REDIS_URL is not set; they end by themselves", err=True)
    for one in erased.remains:
        click.echo(f"not erased: {one}", err=True)
    sys.exit(REMAINS if erased.remains else 0)


def _waiting(engine: Engine, whose: Person, *, cancel: bool) -> list[UUID]:
    """Return the tasks with the key that have not ended; where they may not be cancelled, end the command."""
    waiting = [task.task_id for task in held(engine, whose) if task.waits]
    if waiting and not cancel:
        ids = ", ".join(map(str, waiting[:SHOWN])) + (", …" if len(waiting) > SHOWN else "")
        sys.exit(
            f"millrace forget: this key is in tasks that have not ended: {ids}. Wait for their end, or say --cancel, "
            "which cancels them with the inputs of others. Nothing was erased"
        )
    return waiting


def _ask(engine: Engine, whose: Person, reason: str | None, waiting: Sequence[UUID]) -> str | None:
    """Let a terminal confirm, and return the reason."""
    if not sys.stdin.isatty():
        raise click.UsageError("what is erased cannot be brought back: say --yes")
    with engine.connect() as connection:
        rows, tasks = erasing.count(connection, whose.table, whose.columns)
    failed = sum(not task.waits for task in held(engine, whose))
    words = f"Erase {rows:,} predictions in {tasks:,} tasks, and the inputs of {failed:,} failed tasks"
    click.confirm(f"{words}{f', and cancel {len(waiting):,}' if waiting else ''}? It cannot be undone.", abort=True)
    return reason or click.prompt("Reason", default="", show_default=False) or None


if __name__ == "__main__":
    print_anything()
    forget()
