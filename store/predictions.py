"""A model's table of predictions, made from neutral column descriptions: inputs, outputs, version, time."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import LateralFromClause
from sqlalchemy.types import TypeEngine

from store.tables import ANALYST_READS, app_may, tasks

ColumnDescription = tuple[str, str, bool]
"""Name, kind (a key of KINDS), nullable."""

KINDS: dict[str, TypeEngine[Any]] = {
    "text": Text(),
    "integer": Integer(),
    "bigint": BigInteger(),
    "double": Double(),
    "boolean": Boolean(),
    "bytes": LargeBinary(),
    "timestamp": DateTime(timezone=True),
    "text[]": ARRAY(Text),
    "double[]": ARRAY(Double),
}


def predictions_table(
    name: str,
    columns: Iterable[ColumnDescription],
    metadata: MetaData,
    personal: Sequence[str] = (),
    *,
    key: str | None = None,
    comments: Mapping[str, str] = MappingProxyType({}),
    comment: str | None = None,
) -> Table:
    """Describe the table that holds one row an input, with its output.

    Its foreign key to tasks is stated, and not checked (annotations.py): that would double the cost of storing a
    score, and finish writes rows only for tasks that it has locked in the same transaction. Programs may empty the
    `personal` columns when they are old, and change nothing else of a row. `key` is the column with the callers' own
    key, `comments` are those of the model's columns.
    """
    return Table(
        name,
        metadata,
        Column("task_id", Uuid, primary_key=True, comment="the task, as in tasks.id"),
        Column("position", Integer, primary_key=True, autoincrement=False, comment="place in the task, from 0"),
        *(
            Column(column, KINDS[kind], nullable=nullable, comment=comments.get(column))
            for column, kind, nullable in columns
        ),
        Column("model_version", Text, nullable=False, comment="the version that made the outputs"),
        Column("scored_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment=_SCORED),
        # Rows arrive in the order of time, so a block-range index of a few kB serves every query by time.
        Index(f"{name}_scored_at", "scored_at", postgresql_using="brin"),
        *([Index(f"{name}_{key}", key, postgresql_where=text(f'"{key}" IS NOT NULL'))] if key else []),
        info=ANALYST_READS
        | app_may("SELECT", "INSERT", *(f'UPDATE ("{column}")' for column in personal))
        | {"predictions": True},
        comment=comment,
    )


_SCORED = "when the outputs were stored; with cached true, they may have been made earlier"


def outputs(table: Table, columns: tuple[str, ...]) -> LateralFromClause | None:
    """Return what gives one list a column for each task that it is joined to; None where only `fetch_columns` can."""
    if any(isinstance(table.c[name].type, ARRAY) for name in columns):
        return None
    lists = (func.array_agg(aggregate_order_by(table.c[name], table.c.position)).label(name) for name in columns)
    return select(*lists).where(table.c.task_id == tasks.c.id).lateral()


async def fetch_columns(
    connection: AsyncConnection, table: Table, task_id: UUID, columns: Sequence[str]
) -> Sequence[Any]:
    """Return one list a column, each in the order of the inputs."""
    if any(isinstance(table.c[name].type, ARRAY) for name in columns):  # of unequal lengths, which array_agg refuses
        rows = await connection.execute(
            select(*(table.c[name] for name in columns)).where(table.c.task_id == task_id).order_by(table.c.position)
        )
        return [list(column) for column in zip(*rows, strict=True)]
    return (
        await connection.execute(
            select(*(func.array_agg(aggregate_order_by(table.c[name], table.c.position)) for name in columns)).where(
                table.c.task_id == task_id
            )
        )
    ).one()
