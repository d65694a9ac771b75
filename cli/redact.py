"""`millrace redact`: empty the texts and images of old predictions. In containers: `python -m cli.redact`."""

import re
import sys
from datetime import timedelta

import click
from sqlalchemy import Engine, MetaData
from sqlalchemy.exc import DBAPIError

from cli import local
from models.catalogue import specs
from store import retention
from store.engine import connect
from store.predictions import predictions_table

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
    wanted = [spec for spec in specs().values() if spec.personal and model in (None, spec.name)]
    if not wanted:
        raise click.UsageError(f"{model!r} is no model with personal columns")
    address = local.database_url()
    if address is None:
        sys.exit("millrace redact: no database; run `make up` in another terminal, or set DATABASE_URL")
    metadata = MetaData()
    what = {s.name: (predictions_table(s.table, s.stored_columns, metadata), s.personal) for s in wanted}
    engine = connect(address, pool_size=1)
    try:
        rows = _redact(engine, what, older_than)
    except DBAPIError as error:
        sys.exit(f"millrace redact: {str(error.orig).partition(chr(10))[0]}")
    finally:
        engine.dispose()
    click.echo(f"{rows} {'row' if rows == 1 else 'rows'} of {', '.join(what)} redacted")


def _redact(engine: Engine, what: retention.Personal, age: timedelta) -> int:
    with engine.begin() as connection:
        since, before = retention.begin(connection), retention.until(connection, age)
    return sum(rows for _, rows in retention.sweep(engine, what, since, before)) if since else 0


if __name__ == "__main__":
    redact()
