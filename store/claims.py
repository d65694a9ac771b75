"""Tasks as programs hand them on: one that waits for a message, one that a worker has claimed, one as it stands."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from store.states import EXPIRED, PENDING, Status, status_in


class WaitingTask(NamedTuple):
    """A PENDING task that needs a message."""

    task_id: UUID
    model: str
    n_inputs: int
    priority: int
    client: str | None = None


class Claim(NamedTuple):
    """One attempt at a task, owned by a worker until its lease ends."""

    task_id: UUID
    attempt: int


class ClaimedTask(NamedTuple):
    claim: Claim
    n_inputs: int
    payload: bytes
    accepted_version: str | None = None


class TaskState(NamedTuple):
    task_id: UUID
    status: Status
    error: str | None


_STATES = text(f"""
SELECT id, CASE WHEN {status_in(PENDING)} AND deadline <= now() THEN '{EXPIRED}' ELSE status END AS status, error
FROM tasks WHERE id = ANY(:ids)
""")


def states(connection: Connection, task_ids: Sequence[UUID]) -> list[TaskState]:
    """Return where these tasks stand; ids that nobody has are left out.

    One whose deadline has passed is EXPIRED, although rescue may not have ended it yet: nothing else can come of it.
    """
    rows = connection.execute(_STATES, {"ids": list(task_ids)})
    return [TaskState(row.id, Status(row.status), row.error) for row in rows]
