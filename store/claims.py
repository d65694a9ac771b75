"""Every change of a task's state after it was accepted: claim, renew, finish, fail, take back, expire.

A claim is the pair (task id, attempt). Whatever a worker writes later is fenced by it: a task that was
taken back, claimed anew, cancelled or ended meanwhile no longer matches, and nothing is written for it.
Times are the database's, so the clocks of the workers' hosts do not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from store.states import Status


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt at a task, owned by this worker until its lease ends."""

    task_id: UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class ClaimedTask:
    claim: Claim
    n_inputs: int
    payload: bytes


class WaitingTask(NamedTuple):
    """A PENDING task that needs a message."""

    task_id: UUID
    model: str
    n_inputs: int


# Locked in the order of the ids, and never waited for: two deliveries of the same tasks cannot deadlock.
_CLAIM = text("""
WITH claimed AS (
    UPDATE tasks
    SET status = 'STARTED', attempt = attempt + 1, started_at = now(), lease_until = now() + :lease
    WHERE id IN (
        SELECT id FROM tasks
        WHERE id = ANY(:ids) AND status = 'PENDING' AND (deadline IS NULL OR deadline > now())
        ORDER BY id FOR UPDATE SKIP LOCKED
    )
    RETURNING id, attempt, n_inputs
)
SELECT id, attempt, n_inputs, payload FROM claimed JOIN task_inputs ON task_id = id ORDER BY id
""")


def claim(connection: Connection, task_ids: Sequence[UUID], lease: timedelta) -> list[ClaimedTask]:
    """Take the tasks that still wait and return them with their inputs; the caller commits.

    Tasks that have ended, are past their deadline or belong to another worker are left out, so a message
    delivered twice claims nothing the second time. Each claim counts as an attempt.
    """
    rows = connection.execute(_CLAIM, {"ids": list(task_ids), "lease": lease})
    return [ClaimedTask(Claim(row.id, row.attempt), row.n_inputs, bytes(row.payload)) for row in rows]


_OURS = """
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS ours (id, attempt)
    WHERE tasks.id = ours.id AND tasks.attempt = ours.attempt AND tasks.status = 'STARTED'
    RETURNING tasks.id
"""
_RENEW = text(f"UPDATE tasks SET lease_until = now() + :lease {_OURS}")  # noqa: S608 - a constant
_FINISH = text(f"""
    UPDATE tasks SET status = 'SUCCESS', finished_at = now(), lease_until = NULL, model_version = :version {_OURS}
""")  # noqa: S608 - a constant
_FAIL = text(f"""
    UPDATE tasks
    SET status = 'FAILURE', finished_at = now(), lease_until = NULL, model_version = :version, error = :error {_OURS}
""")  # noqa: S608 - a constant


def renew(connection: Connection, claims: Sequence[Claim], lease: timedelta) -> None:
    """Prolong the leases of the claims that are still ours."""
    connection.execute(_RENEW, _keys(claims) | {"lease": lease})


def finish(connection: Connection, claims: Sequence[Claim], version: str) -> set[UUID]:
    """Mark the claims that are still ours SUCCESS, drop their inputs, and return their task ids.

    The caller stores the predictions of exactly these tasks in the same transaction.
    """
    finished = set(connection.execute(_FINISH, _keys(claims) | {"version": version}).scalars())
    connection.execute(text("DELETE FROM task_inputs WHERE task_id = ANY(:ids)"), {"ids": list(finished)})
    return finished


def fail(connection: Connection, claims: Sequence[Claim], version: str, error: str) -> set[UUID]:
    """Mark the claims that are still ours FAILURE with a reason for a person; their inputs are kept."""
    return set(connection.execute(_FAIL, _keys(claims) | {"version": version, "error": error}).scalars())


def _keys(claims: Sequence[Claim]) -> dict[str, Any]:
    return {"ids": [c.task_id for c in claims], "attempts": [c.attempt for c in claims]}


_TAKE_BACK = text("""
UPDATE tasks
SET lease_until = NULL,
    published_at = now(),
    status = CASE WHEN attempt < :attempts THEN 'PENDING' ELSE 'FAILURE' END,
    finished_at = CASE WHEN attempt < :attempts THEN NULL ELSE now() END,
    error = CASE WHEN attempt < :attempts THEN NULL
                 ELSE 'worker lost ' || attempt || ' times while scoring this task' END
WHERE id IN (
    SELECT id FROM tasks WHERE status = 'STARTED' AND lease_until < now() LIMIT :limit FOR UPDATE SKIP LOCKED
)
RETURNING id, model, n_inputs, status
""")


def take_back(connection: Connection, *, attempts: int, limit: int) -> tuple[list[WaitingTask], list[UUID]]:
    """Take tasks from workers whose lease ran out.

    Returns the tasks that wait again, and the ids of those that failed because they had all their attempts.
    """
    rows = connection.execute(_TAKE_BACK, {"attempts": attempts, "limit": limit}).all()
    waiting = [WaitingTask(row.id, row.model, row.n_inputs) for row in rows if row.status == Status.PENDING]
    return waiting, [row.id for row in rows if row.status == Status.FAILURE]


_EXPIRE = text("""
UPDATE tasks SET status = 'EXPIRED', finished_at = now(), lease_until = NULL, error = 'deadline passed before scoring'
WHERE id IN (
    SELECT id FROM tasks
    WHERE status IN ('PENDING', 'STARTED') AND deadline < now() LIMIT :limit FOR UPDATE SKIP LOCKED
)
RETURNING id
""")


def expire(connection: Connection, *, limit: int) -> list[UUID]:
    """End the tasks whose deadline has passed and return their ids; their inputs are dropped."""
    expired = list(connection.execute(_EXPIRE, {"limit": limit}).scalars())
    connection.execute(text("DELETE FROM task_inputs WHERE task_id = ANY(:ids)"), {"ids": expired})
    return expired


# A queue is first in, first out. A task that waits although one published well after it is being scored
# has lost its message; so has one that waits beside an empty queue.
_REPUBLISH = text("""
UPDATE tasks SET published_at = now()
WHERE id IN (
    SELECT id FROM tasks
    WHERE status = 'PENDING' AND model = :model AND published_at < now() - :patience AND (
        :queue_empty OR published_at + :patience < (
            SELECT max(overtaking.published_at) FROM tasks AS overtaking
            WHERE overtaking.status = 'STARTED' AND overtaking.model = :model
        )
    )
    ORDER BY published_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
RETURNING id, model, n_inputs
""")


def republish(
    connection: Connection, model: str, *, queue_empty: bool, patience: timedelta, limit: int
) -> list[WaitingTask]:
    """Return the tasks that have waited without a message for longer than `patience`, marked as published now.

    Backlog alone is no reason: under overload most tasks wait long, and each has its message.
    """
    rows = connection.execute(
        _REPUBLISH, {"model": model, "queue_empty": queue_empty, "patience": patience, "limit": limit}
    )
    return [WaitingTask(row.id, row.model, row.n_inputs) for row in rows]
