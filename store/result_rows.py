"""Rows of predictions as text, which PostgreSQL itself writes: inputs, outputs, version, in the order of given tasks.

A page is a few whole tasks, read by one COPY into memory, so that a slow reader holds no snapshot and no connection.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    LargeBinary,
    Table,
    Uuid,
    bindparam,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from store.states import SUCCESS, status_in
from store.tasks import BY_INDEX

TextFormat = Literal["csv", "json"]

SECONDS = 20
"""How long one statement may take."""

LIMITED = text(f"SELECT set_config('statement_timeout', '{SECONDS}s', true)")


class RowSource(NamedTuple):
    """A task whose rows are read, and the numbers of its rows in the file that they come from."""

    task_id: UUID
    n_inputs: int
    first_row: int = 0
    """The number of its first row, where none is left out."""
    rows: Sequence[int] | None = None
    """The number of each of its rows, where some rows of the file are left out."""


@dataclass(frozen=True)
class Shape:
    """Which columns a row has, by the names that callers know, and whether its number in the file comes first."""

    table: Table
    columns: Mapping[str, str]
    """Name for callers → column."""
    numbered: bool = False

    @property
    def names(self) -> list[str]:
        return [*(["row"] if self.numbered else []), *self.columns]


# In CSV, COPY puts a value in quotes where it must. A line of JSON has no control character, so here it quotes nothing.
_COPY = {
    "csv": {"format": "csv"},
    "json": {"format": "csv", "delimiter": "\x01", "quote": "\x02", "escape": "\x02"},
}


async def read_page(connection: AsyncConnection, shape: Shape, sources: Sequence[RowSource], form: TextFormat) -> bytes:
    """Return the rows of these tasks, in their order: lines of CSV, or lines of one JSON object each.

    A source that lists its `rows` must come alone. Raises DBAPIError.
    """
    await connection.execute(LIMITED)
    await connection.execute(BY_INDEX)
    parts: list[bytes] = []

    async def keep(part: bytes) -> None:
        parts.append(bytes(part))

    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    try:
        await driver.copy_from_query(_query(shape, sources, form), output=keep, **_COPY[form])
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise DBAPIError("COPY", None, error) from error
    return b"".join(parts)


def _query(shape: Shape, sources: Sequence[RowSource], form: TextFormat) -> str:
    """Return the statement, which takes no parameters: COPY has none. What is put in are ids and numbers."""
    listed = sources[0].rows
    values = {name: _as_text(shape.table.c[column], form) for name, column in shape.columns.items()}
    if shape.numbered:
        number = "CAST(asked.first_row + rows.position AS text)" if listed is None else "CAST(listed.number AS text)"
        values = {"row": number, **values}
    if form == "csv":
        selected = ", ".join(values.values())
    else:
        members = (f"'{_literal(name)}:' || coalesce({value}, 'null')" for name, value in values.items())
        selected = "'{' || " + " || ',' || ".join(members) + " || '}'"
    ids = ",".join(str(source.task_id) for source in sources)
    firsts = ",".join(str(source.first_row) for source in sources)
    query = f"""
        SELECT {selected}
        FROM unnest('{{{ids}}}'::uuid[], '{{{firsts}}}'::bigint[]) WITH ORDINALITY AS asked (id, first_row, place)
        JOIN "{shape.table.name}" AS rows ON rows.task_id = asked.id
    """
    if listed is not None:
        numbers = ",".join(map(str, listed))
        query += f"JOIN unnest('{{{numbers}}}'::bigint[]) WITH ORDINALITY AS listed (number, nth) ON nth = position + 1"
    return f"{query} ORDER BY asked.place, rows.position"


def _literal(name: str) -> str:
    return json.dumps(name).replace("'", "''")


def _as_text(column: Column[Any], form: TextFormat) -> str:
    """Return the expression of a value's text: of CSV's cell, or of JSON."""
    name, kind = f'rows."{column.name}"', column.type
    quote = """ '"' """ if form == "json" else "''"
    if isinstance(kind, LargeBinary):
        return f"{quote} || translate(encode({name}, 'base64'), E'\\n', '') || {quote}"
    if isinstance(kind, DateTime):
        moment = f"""to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
        return f"{quote} || {moment} || {quote}"
    if form == "json" or isinstance(kind, ARRAY):
        return f"CAST(to_json({name}) AS text)"
    return f"CAST({name} AS text)" if isinstance(kind, (Boolean, Integer, BigInteger, Double, Uuid)) else name


async def finished_tasks(
    connection: AsyncConnection,
    model: str,
    client: str | None,
    *,
    submitted_after: datetime | None = None,
    submitted_before: datetime | None = None,
    after: UUID | None = None,
    limit: int,
) -> list[RowSource]:
    """Return tasks of the model that have succeeded, the oldest first, from the one that follows `after`.

    With a client, only its own. Times are the database's, `submitted_after` included, `submitted_before` not.
    """
    given: dict[str, Any] = {
        "model": model,
        "client": client,
        "submitted_after": submitted_after,
        "submitted_before": submitted_before,
        "after": after,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    conditions = "".join(f" AND {_CONDITIONS[name]}" for name in asked)
    query = text(
        f"SELECT id, n_inputs FROM tasks WHERE {status_in(SUCCESS)}{conditions} ORDER BY submitted_at, id LIMIT :limit"
    )
    types = [bindparam(name, type_=_TYPES[name]) for name in asked if name in _TYPES]
    await connection.execute(LIMITED)
    await connection.execute(BY_INDEX)
    rows = await connection.execute(query.bindparams(*types), {**asked, "limit": limit})
    return [RowSource(row.id, row.n_inputs) for row in rows]


_CONDITIONS = {
    "model": "model = :model",
    "client": "client = :client",
    "submitted_after": "submitted_at >= :submitted_after",
    "submitted_before": "submitted_at < :submitted_before",
    "after": "(submitted_at, id) > ((SELECT submitted_at FROM tasks WHERE id = :after), :after)",
}
_TYPES: dict[str, Any] = {
    "submitted_after": DateTime(timezone=True),
    "submitted_before": DateTime(timezone=True),
    "after": Uuid(),
}


async def these_tasks(
    connection: AsyncConnection, model: str, client: str | None, task_ids: Sequence[UUID]
) -> list[RowSource]:
    """Return those of these tasks that are the client's and have succeeded, in the order in which they are given."""
    query = text(f"""
        SELECT id, n_inputs FROM tasks WHERE id = ANY(:ids) AND model = :model AND {status_in(SUCCESS)}
            AND (CAST(:client AS text) IS NULL OR client = :client)
    """)
    rows = await connection.execute(query, {"ids": list(task_ids), "model": model, "client": client})
    found = {row.id: RowSource(row.id, row.n_inputs) for row in rows}
    return [found[task_id] for task_id in task_ids if task_id in found]
