"""`millrace replay`: have failed tasks scored once more. In containers: `python -m cli.replay`."""

import re
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import click
from millrace_client.cli.encoding import print_anything
from sqlalchemy import Connection

from cli.database import database, login
from store import task_events, timestamps, transitions
from store.states import Status
from store.task_events import Actor, TaskEvent

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Since(click.ParamType[datetime]):
    name = "TIME"

    def convert(self, value: str, parameter: click.Parameter | None, context: click.Context | None) -> datetime:
        """Read `30m`, `6h`, `2d`, or an RFC 3339 time."""
        if ago := re.fullmatch(r"(\d{1,6})([mhd])", value):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        for meant in (value, f"{value}Z", f"{value}T00:00Z"):  # the commands show their times in UTC, without saying so
            with suppress(timestamps.InvalidTime):
                return timestamps.parse(meant)
        words = f"{value!r} is neither like 30m, 6h or 2d nor a time like {timestamps.EXAMPLE}"
        raise click.BadParameter(words, context, parameter)


@click.command()
@click.argument("task_ids", nargs=-1, type=click.UUID)
@click.option("--failed", is_flag=True, help="every task that has failed since --since, instead of single ones")
@click.option("--since", type=Since(), help="30m, 6h, 2d, or an RFC 3339 time; goes with --failed")
@click.option("--model", help="only this model's; goes with --failed")
def replay(task_ids: tuple[UUID, ...], failed: bool, since: datetime | None, model: str | None) -> None:
    """Have failed tasks scored once more; their inputs were kept, and their attempts begin anew."""
    if failed == bool(task_ids) or failed != (since is not None) or (model and not failed):
        raise click.UsageError("give task ids, or --failed with --since")
    actor = Actor(None, login())
    with database("replay") as engine, engine.begin() as connection:
        if since is not None:
            replayed, event = _replay_failed(connection, since, model, actor)
        else:
            replayed, event = transitions.replay_these(connection, task_ids), None
        task_events.note(connection, TaskEvent.REPLAYED, actor, replayed, part_of=event)
    refused = [task_id for task_id in task_ids if task_id not in replayed]
    count = len(replayed)
    click.echo(f"{count} task{'s'[: count != 1]} will be scored again within seconds")
    for task_id in refused:
        click.echo(f"{task_id} is no failed task", err=True)
    sys.exit(1 if refused else 0)


def _replay_failed(
    connection: Connection, since: datetime, model: str | None, actor: Actor
) -> tuple[set[UUID], int | None]:
    """Return the ids of the tasks that wait again, and the event of all of them."""
    replayed = transitions.replay_failed(connection, since=since, model=model)
    if not replayed:
        return replayed, None
    asked = {"status": Status.FAILURE, "failed_since": since.isoformat(), **({"model": model} if model else {})}
    return replayed, task_events.note_many(connection, TaskEvent.REPLAYED, actor, len(replayed), filter_=asked)


if __name__ == "__main__":
    print_anything()
    replay()
