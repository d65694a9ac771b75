"""Finds tasks by the clients' own keys, and counts those that a list would show, both up to a limit."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Double, Integer, Row, Select, Table, Text, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from store.states import Status
from store.tables import tasks
from store.tasks import BY_INDEX, SECONDS, newest, summaries

ROWS = 10_000
"""Rows with one key that are looked through: of a key that more rows have, about the latest."""

_BITS = {Integer: 32, BigInteger: 64}


async def count(connection: AsyncConnection, **wanted: Any) -> int:
    """Return how many tasks `newest` would list: at most its `limit`."""
    await _begin(connection)
    statement, values = newest(**wanted, ids_only=True)
    return await connection.scalar(select(func.count()).select_from(statement.subquery()), values) or 0


async def with_key(
    connection: AsyncConnection, table: Table, column: str, key: str, **wanted: Any
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the newest tasks that have a row with this key in a model's table, with the columns of `tasks.page`.

    `wanted` is a `limit`, and what else the tasks must be: `client`, `status`, `submitted_after`, `submitted_before`.
    """
    value = as_kind(table.c[column].type, key)
    if value is None:
        return []
    await _begin(connection)
    return (await connection.execute(_with_key(table, column, value, **wanted))).all()


def _with_key(
    table: Table,
    column: str,
    value: Any,
    *,
    limit: int,
    client: str | None = None,
    status: Status | None = None,
    submitted_after: datetime | None = None,
    submitted_before: datetime | None = None,
) -> Select[*tuple[Any, ...]]:
    own = table.c[column]
    # An index has equal keys in the order of the rows' places, so that backwards it has the latest first. Where a key
    # must be equal, PostgreSQL ignores the direction; BETWEEN asks for the same rows, and keeps it.
    rows = select(table.c.task_id).where(own.between(value, value)).order_by(own.desc()).limit(ROWS).subquery()
    query = summaries().where(tasks.c.id.in_(select(rows.c.task_id)))
    for condition in (
        None if client is None else tasks.c.client == client,
        None if status is None else tasks.c.status == status,
        None if submitted_after is None else tasks.c.submitted_at >= submitted_after,
        None if submitted_before is None else tasks.c.submitted_at < submitted_before,
    ):
        query = query if condition is None else query.where(condition)
    return query.order_by(tasks.c.submitted_at.desc(), tasks.c.id.desc()).limit(limit)


def as_kind(kind: TypeEngine[Any], key: str) -> Any:
    """Return a key, which comes as text, as a column of this kind holds it; None for one that it cannot hold."""
    if isinstance(kind, Boolean):
        return {"true": True, "false": False}.get(key.lower())
    try:
        if isinstance(kind, Integer):  # of which BigInteger is one
            number = int(key)
            limit = 2 ** (_BITS.get(type(kind), 32) - 1)
            return number if -limit <= number < limit else None
        if isinstance(kind, Double):
            return float(key)
    except ValueError:
        return None
    return key if isinstance(kind, Text) else None


async def _begin(connection: AsyncConnection) -> None:
    """Bound what follows in time, and have it read by the indexes."""
    await connection.execute(text(f"SELECT set_config('statement_timeout', '{SECONDS}s', true)"))
    await connection.execute(BY_INDEX)
