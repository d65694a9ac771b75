"""Tasks as the handler sees them: read, list. (accepting.py makes them.)"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, bindparam, func, literal_column, select, true
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import LateralFromClause

from store.states import Status
from store.tables import tasks


async def read(
    connection: AsyncConnection, task_id: UUID, client: str | None = None, outputs: LateralFromClause | None = None
) -> Row[*tuple[Any, ...]] | None:
    """Return a task, and behind its own columns those of `outputs`; with a client, only its own."""
    given = {"task_id": task_id} if client is None else {"task_id": task_id, "client": client}
    return (await connection.execute(_read(client is not None, outputs), given)).one_or_none()


@cache  # making the statement would take longer than PostgreSQL does with it
def _read(own: bool, outputs: LateralFromClause | None) -> Select[*tuple[Any, ...]]:
    query = _SUMMARY if outputs is None else _SUMMARY.add_columns(*outputs.c).join(outputs, true())
    query = query.where(tasks.c.id == bindparam("task_id"))
    return query.where(tasks.c.client == bindparam("client")) if own else query


def newest(
    *,
    status: Status | None = None,
    model: str | None = None,
    submitted_after: datetime | None = None,
    submitted_before: datetime | None = None,
    before: UUID | None = None,
    client: str | None = None,
    limit: int,
) -> Select[*tuple[Any, ...]]:
    """Ask for tasks, newest first, from the one that follows `before` (a task id: ids are ordered by time).

    Times are the database's, `submitted_after` included, `submitted_before` not. With a client, only its own.
    """
    query = _SUMMARY.order_by(tasks.c.id.desc()).limit(limit)
    if status is not None:
        query = query.where(tasks.c.status == status)
    if model is not None:
        query = query.where(tasks.c.model == model)
    if submitted_after is not None:
        query = query.where(tasks.c.submitted_at >= submitted_after, tasks.c.id >= _first_id(submitted_after - _SLACK))
    if submitted_before is not None:
        query = query.where(tasks.c.submitted_at < submitted_before, tasks.c.id < _first_id(submitted_before + _SLACK))
    if client is not None:
        query = query.where(tasks.c.client == client)
    if before is not None:
        query = query.where(tasks.c.id < before)
    return query


async def page(connection: AsyncConnection, **wanted: Any) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the tasks that `newest` asks for."""
    return (await connection.execute(newest(**wanted))).all()


async def waiting(connection: AsyncConnection) -> dict[tuple[str, int], tuple[int, int, float]]:
    """Return how many tasks wait for a worker, their inputs and the oldest's age in seconds, by model and priority."""
    return by_queue(await connection.execute(WAITING))


WAITING = (
    select(
        tasks.c.model,
        tasks.c.priority,
        func.count(),
        func.sum(tasks.c.n_inputs),
        func.extract("epoch", func.now() - func.min(tasks.c.submitted_at)),
    )
    .where(tasks.c.status == literal_column("'PENDING'"))
    .group_by(tasks.c.model, tasks.c.priority)
)


def by_queue(rows: Iterable[Row[*tuple[Any, ...]]]) -> dict[tuple[str, int], tuple[int, int, float]]:
    """Return what WAITING answers by model and priority."""
    return {(model, priority): (count, int(inputs), float(age)) for model, priority, count, inputs, age in rows}


_SLACK = timedelta(hours=1)
"""By how much a handler's clock, which is in the id, may differ from the database's."""


def _first_id(time: datetime) -> UUID:
    """Return the smallest UUIDv7 of that millisecond (RFC 9562, 5.7): it lets the primary key serve a time range."""
    milliseconds = min(max(int(time.timestamp() * 1000), 0), 2**48 - 1)
    return UUID(int=milliseconds << 80)


SUMMARY = 9
"""Columns of a task that are its own."""

_SUMMARY = select(
    tasks.c.id.label("task_id"),
    tasks.c.status,
    tasks.c.model,
    tasks.c.model_version,
    tasks.c.n_inputs,
    tasks.c.submitted_at,
    tasks.c.started_at,
    tasks.c.finished_at,
    tasks.c.error,
)
