"""Who has replayed or cancelled tasks: noted in the transaction of the change, and read for pages.

An event of many tasks has their number and the filter that chose them, and each of its tasks an event that is part of
it. No event says anything of inputs.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

ANONYMOUS = "anonymous"
"""Who does it with AUTH=off."""


class TaskEvent(StrEnum):
    """What was done."""

    REPLAYED = "replayed"
    CANCELLED = "cancelled"
    BEGUN = "begun"
    """A job that replays or cancels tasks was made."""
    STOPPED = "stopped"
    """Such a job was cancelled."""


class Actor(NamedTuple):
    """The client of an API key, or who ran a command."""

    client: str | None
    by: str


def client_as_actor(client: str | None) -> Actor:
    """Return who it was by the client of a request."""
    return Actor(client, client or ANONYMOUS)


_NOTE = text("""
INSERT INTO task_events (event, client, by, task_id, n_tasks, part_of)
SELECT :event, :client, :by, id, 1, :part_of FROM unnest(CAST(:task_ids AS uuid[])) AS g (id)
""")
_NOTE_MANY = text("""
INSERT INTO task_events (event, client, by, job_id, n_tasks, filter)
VALUES (:event, :client, :by, :job_id, :n_tasks, CAST(:filter AS jsonb)) RETURNING id
""")
_BEGUN = text(f"SELECT id FROM task_events WHERE job_id = :job_id AND event = '{TaskEvent.BEGUN}'")


def note(
    connection: Connection,
    event: TaskEvent,
    actor: Actor,
    task_ids: Collection[UUID],
    *,
    part_of: int | None = None,
) -> None:
    """Note what was done to each of these tasks."""
    given = {**actor._asdict(), "event": event, "task_ids": list(task_ids), "part_of": part_of}
    connection.execute(_NOTE, given)


def note_many(
    connection: Connection,
    event: TaskEvent,
    actor: Actor,
    n_tasks: int,
    *,
    job_id: UUID | None = None,
    filter_: Mapping[str, Any] | None = None,
) -> int:
    """Note what was done to many tasks, or to a job, and return the event's id."""
    given = {"event": event, "n_tasks": n_tasks, "job_id": job_id}
    stated = None if filter_ is None else json.dumps(filter_)
    return int(connection.execute(_NOTE_MANY, {**actor._asdict(), **given, "filter": stated}).scalar_one())


def beginning_of(connection: Connection, job_id: UUID) -> int | None:
    """Return the event by which a job that replays or cancels tasks was made."""
    found: int | None = connection.scalar(_BEGUN, {"job_id": job_id})
    return found


_OF_TASK = text("""
SELECT e.id, e.event, e.at, e.client, e.by, whole.job_id
FROM task_events AS e LEFT JOIN task_events AS whole ON whole.id = e.part_of
WHERE e.task_id = :task_id ORDER BY e.id DESC LIMIT :limit
""")


async def of_task(connection: AsyncConnection, task_id: UUID, limit: int) -> Sequence[Row[Any]]:
    """Return what was done to a task, the latest first."""
    return (await connection.execute(_OF_TASK, {"task_id": task_id, "limit": limit})).all()


async def newest(connection: AsyncConnection, client: str | None, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Return what was done, the latest first, many tasks as one; with a client, only what its keys did."""
    own = "e.client = :client AND" if client is not None else ""
    later = "e.id < :before AND" if before is not None else ""
    query = text(f"""
        SELECT e.id, e.event, e.at, e.client, e.by, e.task_id, e.job_id, e.n_tasks, e.filter, kind, n_changed
        FROM task_events AS e LEFT JOIN jobs ON jobs.id = e.job_id LEFT JOIN bulk_jobs ON bulk_jobs.job_id = e.job_id
        WHERE {own} {later} e.part_of IS NULL ORDER BY e.id DESC LIMIT :limit
    """)
    given = {"client": client, "before": before, "limit": limit}
    return (await connection.execute(query, {name: one for name, one in given.items() if one is not None})).all()
