"""Jobs that replay or cancel the tasks of a filter: choose the tasks, then change them, some in each transaction.

The tasks are chosen once, when the job is made, and each is looked at once: its id goes with its change.
A task that the filter no longer fits by then is left alone.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, func, insert, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store import task_events, transitions
from store.job_tables import JobKind, bulk_tasks
from store.task_events import Actor, TaskEvent, client_as_actor
from store.tasks import BY_INDEX, newest

_MAKE = text("INSERT INTO bulk_jobs (job_id, filter, task_limit) VALUES (:job_id, CAST(:filter AS jsonb), :task_limit)")
_CHOSEN = text("UPDATE bulk_jobs SET n_chosen = :n, chosen_at = clock_timestamp() WHERE job_id = :job_id")

TOGETHER = 100
"""Ids of a row: as many as PostgreSQL keeps in the row itself, which is faster than what it compresses beside it."""


async def choose(
    connection: AsyncConnection, job_id: UUID, actor: Actor, stated: Mapping[str, Any], limit: int, **wanted: Any
) -> None:
    """Choose the newest tasks that `newest` would list for a job that was just made; `stated` is the filter in JSON."""
    await connection.execute(_MAKE, {"job_id": job_id, "filter": json.dumps(stated), "task_limit": limit})
    await connection.execute(BY_INDEX)
    statement, values = newest(**wanted, limit=limit, ids_only=True)
    found = statement.subquery()
    number = ((func.row_number().over() - 1) // TOGETHER).label("number")
    placed = select(found.c.task_id, number).subquery()
    rows = select(literal(job_id), placed.c.number, func.array_agg(placed.c.task_id)).group_by(placed.c.number)
    keep = insert(bulk_tasks).from_select(["job_id", "number", "task_ids"], rows)
    kept = await connection.execute(keep.returning(func.cardinality(bulk_tasks.c.task_ids)), values)
    n = sum(kept.scalars())
    await connection.execute(_CHOSEN, {"job_id": job_id, "n": n})
    await connection.run_sync(
        lambda sync: task_events.note_many(sync, TaskEvent.BEGUN, actor, n, job_id=job_id, filter_=stated)
    )


class BulkProgress(NamedTuple):
    """What a job chose, and how many tasks it has changed or left alone so far."""

    filter: Mapping[str, Any]
    limit: int
    chosen: int
    changed: int
    left_alone: int


_PROGRESS = text("""
SELECT filter, task_limit, n_chosen, n_changed, n_left_alone FROM bulk_jobs WHERE job_id = :job_id
""")


async def progress(connection: AsyncConnection, job_id: UUID) -> BulkProgress:
    return BulkProgress(*(await connection.execute(_PROGRESS, {"job_id": job_id})).one())


async def stop(connection: AsyncConnection, job_id: UUID, actor: Actor) -> None:
    """Forget what a job that was cancelled has still to do."""
    await connection.execute(text("DELETE FROM bulk_tasks WHERE job_id = :job_id"), {"job_id": job_id})
    done = (await progress(connection, job_id)).changed
    await connection.run_sync(lambda sync: task_events.note_many(sync, TaskEvent.STOPPED, actor, done, job_id=job_id))


_UNFINISHED = text("""
SELECT job_id FROM jobs JOIN bulk_jobs ON job_id = id
WHERE finished_at IS NULL AND closed_at IS NULL ORDER BY id LIMIT :limit
""")
_BEGIN = text("""
SELECT id, kind, client, filter ->> 'status' AS status, chosen_at FROM jobs JOIN bulk_jobs ON job_id = id
WHERE id = :id AND finished_at IS NULL AND closed_at IS NULL FOR UPDATE OF jobs SKIP LOCKED
""")
_TAKE = text("""
DELETE FROM bulk_tasks WHERE job_id = :id AND number IN (
    SELECT number FROM bulk_tasks WHERE job_id = :id ORDER BY number DESC LIMIT :rows
) RETURNING number, task_ids
""")
_PUT_BACK = text("""
INSERT INTO bulk_tasks (job_id, number, task_ids)
SELECT :id, coalesce(CAST(:number AS int), (SELECT least(min(number), 0) - 1 FROM bulk_tasks WHERE job_id = :id)),
    CAST(:task_ids AS uuid[])
""")
_LEFT = text("SELECT EXISTS (SELECT FROM bulk_tasks WHERE job_id = :id)")

# Never waited for: a task that somebody else has locked is looked at in a later step. What is locked stays as it is.
_LOCK = text("""
SELECT id, status = :status AND coalesce(finished_at <= :chosen_at, true) AS fits
FROM tasks WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""")
_THERE = text("SELECT id FROM tasks WHERE id = ANY(:ids)")
_COUNT = text("""
UPDATE bulk_jobs SET n_changed = n_changed + :changed, n_left_alone = n_left_alone + :left_alone WHERE job_id = :id
""")
_CLOSE = text("UPDATE jobs SET closed_at = now() WHERE id = :id")


def unfinished(connection: Connection, *, limit: int) -> list[UUID]:
    """Return jobs that have tasks to look at, the oldest first."""
    return list(connection.execute(_UNFINISHED, {"limit": limit}).scalars())


def advance(connection: Connection, job_id: UUID, *, limit: int) -> dict[UUID, bool]:
    """Look at some of the tasks that a job has still to do, and return whether each was changed.

    The job is closed when none is left. What is replayed waits for rescue to publish it.
    """
    job = connection.execute(_BEGIN, {"id": job_id}).one_or_none()
    if job is None:  # it was cancelled
        return {}
    ids = _take(connection, job_id, limit)
    looked_at, changed = _change(connection, job, ids) if ids else ([], set())
    locked = set(ids).difference(looked_at)
    if locked:
        connection.execute(_PUT_BACK, {"id": job_id, "number": None, "task_ids": sorted(locked, reverse=True)})
    left_alone = len(looked_at) - len(changed)
    connection.execute(_COUNT, {"id": job_id, "changed": len(changed), "left_alone": left_alone})
    if not connection.scalar(_LEFT, {"id": job_id}):
        connection.execute(_CLOSE, {"id": job_id})
    return {task_id: task_id in changed for task_id in looked_at}


def _take(connection: Connection, job_id: UUID, limit: int) -> list[UUID]:
    """Return what is next, the oldest first, and have the job forget it. The rows of a job have the newest first."""
    taken = connection.execute(_TAKE, {"id": job_id, "rows": limit // TOGETHER + 2})  # the first may have few
    rows = sorted(taken, key=lambda row: int(row.number), reverse=True)
    ids = [task_id for row in rows for task_id in reversed(row.task_ids)]
    if len(ids) > limit:
        rest = ids[limit:]
        connection.execute(_PUT_BACK, {"id": job_id, "number": rows[-1].number, "task_ids": rest[::-1]})
    return ids[:limit]


def _change(connection: Connection, job: Row[Any], ids: list[UUID]) -> tuple[list[UUID], set[UUID]]:
    """Return those of these tasks that could be looked at, and which of them were changed."""
    locked = {row.id: row.fits for row in connection.execute(_LOCK, _of(job.status, job.chosen_at, ids))}
    there = set(connection.execute(_THERE, {"ids": ids}).scalars())
    fitting = [task_id for task_id, fits in locked.items() if fits]
    if job.kind == JobKind.REPLAY:
        event, changed = TaskEvent.REPLAYED, transitions.replay_these(connection, fitting)
    else:
        event, changed = TaskEvent.CANCELLED, transitions.cancel_these(connection, fitting, job.client)
    begun = task_events.beginning_of(connection, job.id)
    task_events.note(connection, event, client_as_actor(job.client), changed, part_of=begun)
    return [task_id for task_id in ids if task_id in locked or task_id not in there], changed


def _of(status: str, chosen_at: datetime, ids: list[UUID]) -> dict[str, Any]:
    return {"status": status, "chosen_at": chosen_at, "ids": ids}
