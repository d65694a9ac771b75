"""Submissions: the one statement that makes them tasks, and the tasks that idempotency keys stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.states import Priority, Status


@dataclass(frozen=True, slots=True)
class Submission:
    """A validated submission that is about to become a task.

    A deadline is either a time or a number of seconds from now. `fingerprint` tells two submissions apart that
    come with the same idempotency key; its first byte is the number of its format.
    """

    task_id: UUID
    model: str
    payload: bytes
    n_inputs: int
    accepted_version: str | None = None
    priority: Priority = Priority.NORMAL
    deadline: datetime | None = None
    deadline_seconds: float | None = None
    callback_url: str | None = None
    client: str | None = None
    idempotency_key: str | None = None
    fingerprint: bytes | None = None
    traceparent: str | None = None


class AcceptedTask(NamedTuple):
    """What became of a submission: a new task, or the one that its idempotency key already stands for."""

    task_id: UUID
    status: Status = Status.PENDING
    replayed: bool = False


class KeyReused(Exception):
    """The idempotency key stands for another submission."""


class StoredTasks(NamedTuple):
    """The ids of the submissions that one transaction has stored, and its number: None where nothing was stored."""

    task_ids: frozenset[UUID]
    transaction: int | None


# A submission whose key is being stored by somebody else at this moment waits for that, and then conflicts.
# The status is the column's default, PENDING.
_ACCEPT = text("""
WITH given AS (
    SELECT * FROM unnest(
        CAST(:ids AS uuid[]), CAST(:models AS text[]), CAST(:counts AS int[]), CAST(:priorities AS smallint[]),
        CAST(:deadlines AS timestamptz[]), CAST(:seconds AS double precision[]), CAST(:clients AS text[]),
        CAST(:keys AS text[]), CAST(:fingerprints AS bytea[]), CAST(:callbacks AS text[]),
        CAST(:traces AS text[]), CAST(:versions AS text[])
    ) AS given (id, model, n_inputs, priority, deadline, seconds, client, key, fingerprint, callback, trace, version)
), accepted AS (
    INSERT INTO tasks
        (id, model, n_inputs, priority, deadline, client, idempotency_key, request_fingerprint, traceparent,
         accepted_version)
    SELECT id, model, n_inputs, priority, coalesce(deadline, now() + make_interval(secs => seconds)),
           client, key, fingerprint, trace, version
    FROM given
    ON CONFLICT (client, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id
), stored AS (
    INSERT INTO task_inputs (task_id, payload)
    SELECT id, payload
    FROM unnest(CAST(:ids AS uuid[]), CAST(:payloads AS bytea[])) AS inputs (id, payload) JOIN accepted USING (id)
), called AS (
    INSERT INTO webhooks (task_id, url)
    SELECT id, callback FROM given JOIN accepted USING (id) WHERE callback IS NOT NULL
)
SELECT id, (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)) AS transaction FROM accepted
""")


def accept(connection: Connection, submissions: Sequence[Submission]) -> StoredTasks:
    """Store the submissions as PENDING tasks, all or none; on a connection that commits by itself, in one round trip.

    What is missing has an idempotency key that stands for a task already: see `originals`.
    """
    values: dict[str, list[Any]] = {
        "ids": [s.task_id for s in submissions],
        "models": [s.model for s in submissions],
        "counts": [s.n_inputs for s in submissions],
        "priorities": [int(s.priority) for s in submissions],
        "deadlines": [s.deadline for s in submissions],
        "seconds": [s.deadline_seconds for s in submissions],
        "clients": [s.client for s in submissions],
        "keys": [s.idempotency_key for s in submissions],
        "fingerprints": [s.fingerprint for s in submissions],
        "traces": [s.traceparent for s in submissions],
        "callbacks": [s.callback_url for s in submissions],
        "versions": [s.accepted_version for s in submissions],
        "payloads": [s.payload for s in submissions],
    }
    # A column that is NULL throughout is sent empty: unnest pads it, and nobody writes and reads so many NULLs.
    values = {name: column if any(value is not None for value in column) else [] for name, column in values.items()}
    rows = connection.execute(_ACCEPT, values).all()
    return StoredTasks(frozenset(row.id for row in rows), rows[0].transaction if rows else None)


# An index lookup for each key, by LATERAL and LIMIT; IS NOT DISTINCT FROM would read the whole index.
_ORIGINALS = text("""
SELECT asked.client, asked.key, first.id, first.status, first.request_fingerprint
FROM unnest(CAST(:clients AS text[]), CAST(:keys AS text[])) AS asked (client, key)
CROSS JOIN LATERAL (
    (SELECT id, status, request_fingerprint FROM tasks
    WHERE idempotency_key = asked.key AND client = asked.client LIMIT 1)
    UNION ALL
    (SELECT id, status, request_fingerprint FROM tasks
    WHERE idempotency_key = asked.key AND client IS NULL AND asked.client IS NULL LIMIT 1)
) AS first
""")


async def originals(
    connection: AsyncConnection, submissions: Sequence[Submission]
) -> list[AcceptedTask | KeyReused | None]:
    """Return for each submission the task that its key stands for; None where the key stands for none any more."""
    asked = list({(s.client, s.idempotency_key) for s in submissions})
    keys = {"clients": [client for client, _ in asked], "keys": [key for _, key in asked]}
    found = {(row.client, row.key): row for row in await connection.execute(_ORIGINALS, keys)}
    return [_original(found.get((s.client, s.idempotency_key)), s) for s in submissions]


def _original(row: Row[Any] | None, submission: Submission) -> AcceptedTask | KeyReused | None:
    if row is None:
        return None
    if not _same(row.request_fingerprint, submission.fingerprint or b""):
        return KeyReused(submission.idempotency_key)
    return AcceptedTask(row.id, Status(row.status), replayed=True)


def _same(stored: bytes, given: bytes) -> bool:
    """Compare two fingerprints. Those of different formats, which two releases made, cannot be: the key decides."""
    comparable = len(stored) == len(given) and stored[:1] == given[:1]
    return stored == given or not comparable


_FORGET = text("""
UPDATE tasks SET idempotency_key = NULL, request_fingerprint = NULL
WHERE id IN (
    SELECT id FROM tasks WHERE idempotency_key IS NOT NULL AND submitted_at < now() - :age
    LIMIT :limit FOR UPDATE SKIP LOCKED
)
RETURNING id
""")


def forget_keys(connection: Connection, *, older_than: timedelta, limit: int) -> list[UUID]:
    """Forget idempotency keys of that age, and return the tasks that they stood for."""
    return list(connection.execute(_FORGET, {"age": older_than, "limit": limit}).scalars())
