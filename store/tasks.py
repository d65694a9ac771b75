"""Tasks as the handler sees them: accept, read, list."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.states import Status
from store.tables import tasks


@dataclass(frozen=True, slots=True)
class Submission:
    """A validated submission that is about to become a task."""

    task_id: UUID
    model: str
    payload: bytes
    n_inputs: int


_ACCEPT = text("""
WITH accepted AS (
    INSERT INTO tasks (id, model, n_inputs)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:models AS text[]), CAST(:counts AS int[]))
)
INSERT INTO task_inputs (task_id, payload)
SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:payloads AS bytea[]))
""")


async def insert(connection: AsyncConnection, submissions: Sequence[Submission]) -> None:
    """Store the submissions as PENDING tasks, all or none, in one statement; the caller commits."""
    await connection.execute(
        _ACCEPT,
        {
            "ids": [s.task_id for s in submissions],
            "models": [s.model for s in submissions],
            "counts": [s.n_inputs for s in submissions],
            "payloads": [s.payload for s in submissions],
        },
    )


async def read(connection: AsyncConnection, task_id: UUID) -> Row[*tuple[Any, ...]] | None:
    return (await connection.execute(_SUMMARY.where(tasks.c.id == task_id))).one_or_none()


async def page(
    connection: AsyncConnection,
    *,
    status: Status | None = None,
    model: str | None = None,
    submitted_after: datetime | None = None,
    submitted_before: datetime | None = None,
    before: UUID | None = None,
    limit: int,
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return tasks, newest first, from the one that follows `before` (a task id: ids are ordered by time).

    Times are the database's, `submitted_after` included, `submitted_before` not.
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
    if before is not None:
        query = query.where(tasks.c.id < before)
    return (await connection.execute(query)).all()


_SLACK = timedelta(hours=1)
"""By how much a handler's clock, which is in the id, may differ from the database's."""


def _first_id(time: datetime) -> UUID:
    """Return the smallest UUIDv7 of that millisecond (RFC 9562, 5.7): it lets the primary key serve a time range."""
    milliseconds = min(max(int(time.timestamp() * 1000), 0), 2**48 - 1)
    return UUID(int=milliseconds << 80)


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
