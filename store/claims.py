"""What workers and rescue do to a task's state: claim, renew, finish, fail, give back, take back, expire, republish.

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
    priority: int


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
    WITH finished AS (
        UPDATE tasks SET status = 'SUCCESS', finished_at = now(), lease_until = NULL, model_version = :version {_OURS}
    ), dropped AS (
        DELETE FROM task_inputs USING finished WHERE task_id = finished.id
    )
    SELECT id FROM finished
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
    return set(connection.execute(_FINISH, _keys(claims) | {"version": version}).scalars())


def fail(connection: Connection, claims: Sequence[Claim], version: str, error: str) -> set[UUID]:
    """Mark the claims that are still ours FAILURE with a reason for a person; their inputs are kept."""
    return set(connection.execute(_FAIL, _keys(claims) | {"version": version, "error": error}).scalars())


def _keys(claims: Sequence[Claim]) -> dict[str, Any]:
    return {"ids": [c.task_id for c in claims], "attempts": [c.attempt for c in claims]}


_TAKE_BACK = text("""
UPDATE tasks
SET lease_until = NULL,
    published_at = now(),
    status = CASE WHEN attempt - attempt_base < :attempts THEN 'PENDING' ELSE 'FAILURE' END,
    finished_at = CASE WHEN attempt - attempt_base < :attempts THEN NULL ELSE now() END,
    error = CASE WHEN attempt - attempt_base < :attempts THEN NULL
                 ELSE 'worker lost ' || attempt - attempt_base || ' times while scoring this task' END
WHERE id IN (
    SELECT id FROM tasks WHERE status = 'STARTED' AND lease_until < now() LIMIT :limit FOR UPDATE SKIP LOCKED
)
RETURNING id, model, n_inputs, priority, status
""")


def take_back(connection: Connection, *, attempts: int, limit: int) -> tuple[list[WaitingTask], list[UUID]]:
    """Take tasks from workers whose lease ran out.

    Returns the tasks that wait again, and the ids of those that failed because they had all their attempts.
    """
    rows = connection.execute(_TAKE_BACK, {"attempts": attempts, "limit": limit}).all()
    waiting = [WaitingTask(*row[:4]) for row in rows if row.status == Status.PENDING]
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


# A queue is first in, first out, in each of its priorities. A task that waits although one published well after it
# is being scored has lost its message; so has one that waits beside an empty queue.
_REPUBLISH = text("""
UPDATE tasks SET published_at = now()
WHERE id IN (
    SELECT id FROM tasks
    WHERE status = 'PENDING' AND model = :model AND priority = :priority AND published_at < now() - :patience AND (
        :queue_empty OR published_at + :patience < (
            SELECT max(overtaking.published_at) FROM tasks AS overtaking
            WHERE overtaking.status = 'STARTED' AND overtaking.model = :model AND overtaking.priority = :priority
        )
    )
    ORDER BY published_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
RETURNING id, model, n_inputs, priority
""")


def republish(
    connection: Connection, model: str, priority: int, *, queue_empty: bool, patience: timedelta, limit: int
) -> list[WaitingTask]:
    """Return the tasks that have waited without a message for longer than `patience`, marked as published now.

    Backlog alone is no reason: under overload most tasks wait long, and each has its message.
    """
    values = {"model": model, "priority": priority, "queue_empty": queue_empty, "patience": patience, "limit": limit}
    return [WaitingTask(*row) for row in connection.execute(_REPUBLISH, values)]


_PROMOTE = text("""
UPDATE tasks SET priority = 0, published_at = now()
WHERE id IN (
    SELECT id FROM tasks
    WHERE status = 'PENDING' AND model = :model AND priority > 0 AND submitted_at < now() - :patience
    ORDER BY submitted_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
RETURNING id, model, n_inputs, priority
""")


def promote(connection: Connection, model: str, *, patience: timedelta, limit: int) -> list[WaitingTask]:
    """Return the longest-waiting tasks of lower priorities, made high, so that none starves behind a busy queue."""
    rows = connection.execute(_PROMOTE, {"model": model, "patience": patience, "limit": limit})
    return [WaitingTask(*row) for row in rows]


_GIVE_BACK = text(f"""
    UPDATE tasks
    SET status = 'PENDING', lease_until = NULL, published_at = '-infinity', attempt_base = attempt_base + 1 {_OURS}
""")  # noqa: S608 - a constant


def give_back(connection: Connection, claims: Sequence[Claim]) -> None:
    """Let the tasks that are still ours wait again, for rescue to publish at once; the attempt does not count."""
    connection.execute(_GIVE_BACK, _keys(claims))


def forget_keys(connection: Connection, *, older_than: timedelta, limit: int) -> int:
    """Forget idempotency keys of that age, and return how many."""
    forgotten = text("""
        UPDATE tasks SET idempotency_key = NULL, request_fingerprint = NULL
        WHERE id IN (
            SELECT id FROM tasks WHERE idempotency_key IS NOT NULL AND submitted_at < now() - :age LIMIT :limit
        )
    """)
    return connection.execute(forgotten, {"age": older_than, "limit": limit}).rowcount
