"""Callbacks: what has happened, which are due, and what became of each attempt.

A row waits until its task has ended, or its other event has come (`due_at` is null), is then due, and in the end was
delivered or given up. A claim is a lease: it moves `due_at` ahead, so what a killed program leaves is due again by
itself.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from store.states import FAILURE, FINAL, SUCCESS, status_in

SWEEP_LOCK = 0x6D696C6C77  # any number that nobody else uses: "millw"

_FINAL = f"tasks.{status_in(*FINAL)}"
_WAITING = "webhooks.due_at IS NULL AND webhooks.delivered_at IS NULL AND webhooks.given_up_at IS NULL"


class Webhooks(StrEnum):
    """The two tables, and the keys of their rows."""

    OF_TASKS = "webhooks.task_id"
    OF_EVENTS = "event_webhooks.id"


@dataclass(frozen=True, slots=True)
class DueWebhook:
    """One attempt to tell of what has happened: of the end of a task, or of another event, with that id."""

    kind: Webhooks
    id: UUID
    until: datetime
    attempt: int
    url: str
    host: str
    client: str | None
    type: str
    happened_at: datetime
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """What became of an attempt: delivered, to be tried again after `retry` seconds, or (None) given up.

    `until` is the claim's: an attempt whose lease ran out has been taken over, and its row has another.
    """

    kind: Webhooks
    id: UUID
    until: datetime
    delivered: bool
    retry: float | None
    status: int | None
    error: str | None


_TYPE = f"""
    CASE status WHEN '{SUCCESS}' THEN 'task.succeeded' WHEN '{FAILURE}' THEN 'task.failed'
        ELSE 'task.' || lower(status) END
"""
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
RETURNING webhooks.task_id, due_at, attempts, url, split_part(url, '/', 3), client, {_TYPE}, finished_at,
    json_build_object('task_id', webhooks.task_id, 'status', status, 'model', model)
""")
_CLAIM_EVENTS = text("""
WITH due AS MATERIALIZED (
    SELECT id FROM event_webhooks WHERE due_at <= now() AND split_part(url, '/', 3) <> ALL(CAST(:busy AS text[]))
    ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE event_webhooks SET attempts = attempts + 1, due_at = now() + :lease FROM due WHERE event_webhooks.id = due.id
RETURNING event_webhooks.id, due_at, attempts, url, split_part(url, '/', 3), client, type, happened_at, data
""")


def claim(connection: Connection, *, lease: timedelta, limit: int, busy: Sequence[str] = ()) -> list[DueWebhook]:
    """Take due callbacks, the longest due first, except those to hosts that are busy; each claim is an attempt."""
    asked = {"lease": lease, "limit": limit, "busy": list(busy)}
    claimed = [DueWebhook(Webhooks.OF_TASKS, *row) for row in connection.execute(_CLAIM, asked)]
    asked["limit"] = limit - len(claimed)
    return claimed + [DueWebhook(Webhooks.OF_EVENTS, *row) for row in connection.execute(_CLAIM_EVENTS, asked)]


def _settling(kind: Webhooks) -> TextClause:
    table, _, key = kind.partition(".")
    return text(f"""
    UPDATE {table}
    SET delivered_at = CASE WHEN ended.delivered THEN now() END,
        given_up_at = CASE WHEN NOT ended.delivered AND ended.retry IS NULL THEN now() END,
        due_at = CASE WHEN NOT ended.delivered THEN now() + make_interval(secs => ended.retry) END,
        last_status = ended.status, last_error = ended.error
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:untils AS timestamptz[]), CAST(:delivered AS boolean[]),
        CAST(:retries AS double precision[]), CAST(:statuses AS int[]), CAST(:errors AS text[])
    ) AS ended (id, until, delivered, retry, status, error)
    WHERE {table}.{key} = ended.id AND {table}.due_at = ended.until
    """)


_SETTLE = {kind: _settling(kind) for kind in Webhooks}


def settle(connection: Connection, ended: Sequence[AttemptEnded]) -> None:
    """Store what became of attempts, for those that are still ours."""
    for kind, statement in _SETTLE.items():
        if mine := [one for one in ended if one.kind is kind]:
            values = {
                "ids": [one.id for one in mine],
                "untils": [one.until for one in mine],
                "delivered": [one.delivered for one in mine],
                "retries": [one.retry for one in mine],
                "statuses": [one.status for one in mine],
                "errors": [one.error for one in mine],
            }
            connection.execute(statement, values)
