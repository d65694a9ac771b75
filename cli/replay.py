"""`millrace replay`: have failed tasks scored once more. In containers: `python -m cli.replay`."""

import re
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import click
from millrace_client.cli.encoding import print_anything

from cli.database import database
from store import timestamps, transitions

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
    with database("replay") as engine, engine.begin() as connection:
        if since is not None:
            count = transitions.replay_failed(connection, since=since, model=model)
            refused: list[UUID] = []
        else:
            replayed = transitions.replay_these(connection, task_ids)
            count, refused = len(replayed), [task_id for task_id in task_ids if task_id not in replayed]
    click.echo(f"{count} task{'s'[: count != 1]} will be scored again within seconds")
    for task_id in refused:
        click.echo(f"{task_id} is no failed task", err=True)
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    print_anything()
    replay()
