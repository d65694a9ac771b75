"""The first rows of one task for a page: a few columns, and of long values only how they begin."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Column, ColumnElement, LargeBinary, Table, Text, func, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.result_rows import LIMITED
from store.tasks import BY_INDEX

ITEMS = 20
"""Items of an array that are read."""

HEAD = 12
"""Bytes of a file that are read: they tell an image's format."""


class Beginning(NamedTuple):
    """How a long value begins, and how long it is."""

    shown: Any
    size: int
    unit: str


async def first_rows(
    connection: AsyncConnection, table: Table, columns: Sequence[str], task_id: UUID, rows: int, most: int
) -> list[list[Any]]:
    """Return so many rows of a task: a value for each column, of which one that is too long is a `Beginning`.

    Too long are texts of over `most` characters, arrays of over ITEMS, and all bytes, of which HEAD are read.
    """
    chosen = [table.c[name] for name in columns]
    query = (
        select(*(part for column in chosen for part in _parts(column, most)))
        .where(table.c.task_id == task_id)
        .order_by(table.c.position)
        .limit(rows)
    )
    await connection.execute(LIMITED)
    await connection.execute(BY_INDEX)
    found = (await connection.execute(query)).all()
    return [[_value(column, row[2 * at], row[2 * at + 1], most) for at, column in enumerate(chosen)] for row in found]


async def value_at(connection: AsyncConnection, table: Table, column: str, task_id: UUID, position: int) -> Any:
    """Return one stored value, whole; None where there is none."""
    await connection.execute(LIMITED)
    return await connection.scalar(
        select(table.c[column]).where(table.c.task_id == task_id, table.c.position == position)
    )


def _parts(column: Column[Any], most: int) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return the beginning of a column's value, and its size where it may be too long."""
    kind = column.type
    if isinstance(kind, LargeBinary):
        return func.substring(column, 1, HEAD), func.octet_length(column)
    if isinstance(kind, ARRAY):
        items = column[1:ITEMS]
        if isinstance(kind.item_type, Text):
            return func.left(func.array_to_string(items, ", "), most), func.cardinality(column)
        return items, func.cardinality(column)
    if isinstance(kind, Text):
        return func.left(column, most), func.char_length(column)
    return column, null()


def _value(column: Column[Any], shown: Any, size: int | None, most: int) -> Any:
    if size is None:
        return shown
    if isinstance(column.type, LargeBinary):
        return Beginning(bytes(shown), size, "bytes")
    if isinstance(column.type, ARRAY):
        return Beginning(shown, size, "values") if size > ITEMS else shown
    return Beginning(shown, size, "characters") if size > most else shown
