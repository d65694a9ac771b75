"""A model with a column of every kind, its rows, and what an export has of them."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from pyarrow import parquet
from sqlalchemy import Connection, Engine, MetaData, Table, select, text

from export.rounds import DayOutcome, Exporter
from migrations.schema import PLATFORM
from store import models, roles
from store.predictions import predictions_table

COLUMNS = [
    ("word", "text", True),
    ("number", "integer", False),
    ("large", "bigint", True),
    ("ratio", "double", True),
    ("flag", "boolean", True),
    ("raw", "bytes", True),
    ("at", "timestamp", True),
    ("words", "text[]", True),
    ("ratios", "double[]", True),
]

FILL = """
    INSERT INTO "{table}" (task_id, position, word, number, ratio, words, model_version, scored_at)
    SELECT md5((:seed + i / 100)::text)::uuid, :first + i, 'word ' || i, i, i / 7.0, ARRAY['a', 'b' || i], '1',
        :midnight + i % 86400 * interval '1 second'
    FROM generate_series(0, :rows - 1) AS i
"""


def make_model(engine: Engine, name: str = "kinds") -> Table:
    """Make a model with its table, as the owner does, without a version."""
    metadata = MetaData(naming_convention=PLATFORM.naming_convention)
    table = predictions_table(f"{name}_rows_of", COLUMNS, metadata, comments={"word": "what was said"})
    metadata.create_all(engine)
    with engine.begin() as connection:
        models.add_model(connection, name, table.name)
        roles.grant(connection, metadata)
    return table


def today(engine: Engine) -> date:
    with engine.connect() as connection:
        found: date = connection.execute(text("SELECT (now() AT TIME ZONE 'UTC')::date")).scalar_one()
        return found


def fill(engine: Engine, table: Table, day: date, rows: int, first: int = 0) -> None:
    """Add rows of that day, each with a position of its own from `first` on."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    values = {"seed": day.toordinal() * 1_000_000, "first": first, "midnight": midnight, "rows": rows}
    with engine.begin() as connection:
        connection.execute(text(FILL.format(table=table.name)), values)


def add(connection: Connection, table: Table, at: datetime) -> None:
    """Add a row that was scored at that time."""
    statement = (
        f"INSERT INTO {table.name} (task_id, position, number, model_version, scored_at) VALUES (:id, 0, 1, '1', :at)"
    )
    connection.execute(text(statement), {"id": uuid4(), "at": at})


def export(engine: Engine, url: str, *models: str, **options: Any) -> list[DayOutcome]:
    """Do one round in this process."""
    exporter = Exporter(engine, url, lambda *_: None)
    tables = {name: table for name, table in exporter.models().items() if name in (models or ("kinds",))}
    return list(exporter.round(tables, **options))


def stored(engine: Engine, table: Table) -> dict[date, list[tuple[Any, ...]]]:
    """Return the table's rows by day, as tuples in the order of the columns."""
    with engine.connect() as connection:
        rows = connection.execute(select(table).order_by(table.c.task_id, table.c.position)).all()
    by_day: dict[date, list[tuple[Any, ...]]] = {}
    for row in rows:
        by_day.setdefault(row.scored_at.astimezone(UTC).date(), []).append((str(row[0]), *row[1:]))
    return by_day


def exported(folder: Path, model: str = "kinds") -> dict[date, list[tuple[Any, ...]]]:
    """Return the same of the files."""
    by_day = {}
    for file in sorted((folder / f"model={model}").glob("day=*/predictions.parquet")):
        table = parquet.ParquetFile(file).read()
        rows = sorted(zip(*(column.to_pylist() for column in table.columns), strict=True), key=lambda row: row[:2])
        by_day[date.fromisoformat(file.parent.name.removeprefix("day="))] = rows
    return by_day


def names(outcomes: Iterable[DayOutcome]) -> list[str]:
    return [outcome.event for outcome in outcomes]


DAY = timedelta(days=1)
