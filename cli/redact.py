"""`millrace redact`: empty the texts and images of old predictions. In containers: `python -m cli.redact`."""

import re
from datetime import timedelta

import click
from millrace_client.cli.encoding import print_anything
from sqlalchemy import Engine

from cli.database import database
from registry import versions
from registry.versions import personal_columns
from store import retention

_UNITS = {"h": "hours", "d": "days"}


class Age(click.ParamType[timedelta]):
    name = "AGE"

    def convert(self, value: str, parameter: click.Parameter | None, context: click.Context | None) -> timedelta:
        """Read `12h` or `30d`."""
        given = re.fullmatch(r"(\d{1,5})([hd])", value)
        if given is None:
            self.fail(f"{value!r} is not like 12h or 30d")
        return timedelta(**{_UNITS[given[2]]: int(given[1])})


@click.command()
@click.option("--older-than", type=Age(), required=True, help="12h or 30d, since the scoring or the failure")
@click.option("--model", help="only this model's")
def redact(older_than: timedelta, model: str | None) -> None:
    """Empty what people wrote or showed (texts, images) in old predictions and failed tasks; scores and labels stay."""
    with database("redact") as engine:
        with engine.connect() as connection:
            of_all = personal_columns(versions.read(connection))
        what = {name: columns for name, columns in of_all.items() if model in (None, name)}
        if not what:
            raise click.UsageError(f"{model!r} is no model with personal columns")
        rows = _redact(engine, what, older_than)
    click.echo(f"{rows} {'row' if rows == 1 else 'rows'} of {', '.join(what)} redacted")


def _redact(engine: Engine, what: retention.PersonalColumns, age: timedelta) -> int:
    with engine.begin() as connection:
        since, before = retention.oldest(connection), retention.cutoff(connection, age)
    return sum(rows for _, rows in retention.redact(engine.begin, what, since, before)) if since else 0


if __name__ == "__main__":
    print_anything()
    redact()
