"""Callbacks: whose task has ended, which are due, and what became of each attempt.

A row waits until its task has ended (`due_at` is null), is then due, and in the end was delivered or given up. A claim
is a lease: it moves `due_at` ahead, so what a killed program leaves is due again by itself.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from store.states import FINAL, status_in

SWEEP_LOCK = 0x6D696C6C77  # any number that nobody else uses: "millw"

_FINAL = f"tasks.{status_in(*FINAL)}"
_WAITING = "webhooks.due_at IS NULL AND webhooks.delivered_at IS NULL AND webhooks.given_up_at IS NULL"


@dataclass(frozen=True, slots=True)
class DueWebhook:
    """One attempt to tell of a task that has ended."""

    task_id: UUID
    until: datetime
    attempt: int
    url: str
    host: str
    model: str
    status: str
    ended_at: datetime
    client: str | None


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """What became of an attempt: delivered, to be tried again after `retry` seconds, or (None) given up.

    `until` is the claim's: an attempt whose lease ran out has been taken over, and its row has another.
    """

    task_id: UUID
    until: datetime
    delivered: bool
    retry: float | None
    status: int | None
    error: str | None


_MAKE_DUE = f"UPDATE webhooks SET due_at = now() FROM tasks WHERE tasks.id = task_id AND {_WAITING} AND {_FINAL}"


def make_due(connection: Connection, task_ids: Collection[UUID]) -> int:
    """Let the callbacks of these tasks be due, where they have ended, and return how many there are."""
    statement = text(f"{_MAKE_DUE} AND task_id = ANY(CAST(:ids AS uuid[]))")
    return connection.execute(statement, {"ids": list(task_ids)}).rowcount


def sweep(connection: Connection) -> int:
    """Let every callback be due whose task has ended, and return how many; one program at a time looks."""
    if not connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": SWEEP_LOCK}):
        return 0
    return connection.execute(text(_MAKE_DUE)).rowcount


_CLAIM = text(f"""
WITH due AS MATERIALIZED (
    SELECT task_id FROM webhooks JOIN tasks ON tasks.id = task_id
    WHERE due_at <= now() AND split_part(url, '/', 3) <> ALL(CAST(:busy AS text[])) AND {_FINAL}
    ORDER BY due_at LIMIT :limit FOR UPDATE OF webhooks SKIP LOCKED
)
UPDATE webhooks SET attempts = attempts + 1, due_at = now() + :lease
FROM due JOIN tasks ON tasks.id = due.task_id
WHERE webhooks.task_id = due.task_id
RETURNING webhooks.task_id, due_at, attempts, url, split_part(url, '/', 3), model, status, finished_at, client
""")


def claim(connection: Connection, *, lease: timedelta, limit: int, busy: Sequence[str] = ()) -> list[DueWebhook]:
    """Take due callbacks, the longest due first, except those to hosts that are busy; each claim is an attempt."""
    rows = connection.execute(_CLAIM, {"lease": lease, "limit": limit, "busy": list(busy)})
    return [DueWebhook(*row) for row in rows]


_SETTLE = text("""
UPDATE webhooks
SET delivered_at = CASE WHEN ended.delivered THEN now() END,
    given_up_at = CASE WHEN NOT ended.delivered AND ended.retry IS NULL THEN now() END,
    due_at = CASE WHEN NOT ended.delivered THEN now() + make_interval(secs => ended.retry) END,
    last_status = ended.status, last_error = ended.error
FROM unnest(
    CAST(:ids AS uuid[]), CAST(:untils AS timestamptz[]), CAST(:delivered AS boolean[]),
    CAST(:retries AS double precision[]), CAST(:statuses AS int[]), CAST(:errors AS text[])
) AS ended (task_id, until, delivered, retry, status, error)
WHERE webhooks.task_id = ended.task_id AND webhooks.due_at = ended.until
""")


def settle(connection: Connection, ended: Sequence[AttemptEnded]) -> None:
    """Store what became of attempts, for those that are still ours."""
    values = {
        "ids": [one.task_id for one in ended],
        "untils": [one.until for one in ended],
        "delivered": [one.delivered for one in ended],
        "retries": [one.retry for one in ended],
        "statuses": [one.status for one in ended],
        "errors": [one.error for one in ended],
    }
    connection.execute(_SETTLE, values)
