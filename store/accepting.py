"""Accepts submissions: the one statement that makes them tasks, and what an idempotency key does to it.

It is a transaction by itself: sent on a connection that commits by itself, it costs one round trip.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.states import Priority, Status


@dataclass(frozen=True, slots=True)
class Submission:
    """A validated submission that is about to become a task.

    A deadline is either a time or a number of seconds from now. `fingerprint` tells two bodies apart that
    come with the same idempotency key.
    """

    task_id: UUID
    model: str
    payload: bytes
    n_inputs: int
    priority: Priority = Priority.NORMAL
    deadline: datetime | None = None
    deadline_seconds: float | None = None
    callback_url: str | None = None
    client: str | None = None
    idempotency_key: str | None = None
    fingerprint: bytes | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a submission: a new task, or the one that its idempotency key already stands for."""

    task_id: UUID
    status: Status = Status.PENDING
    replayed: bool = False


class KeyReused(Exception):
    """The idempotency key stands for another submission."""


# A submission whose key is being stored by somebody else at this moment waits for that, and then conflicts.
_ACCEPT = text("""
WITH given AS (
    SELECT * FROM unnest(
        CAST(:ids AS uuid[]), CAST(:models AS text[]), CAST(:counts AS int[]), CAST(:priorities AS smallint[]),
        CAST(:deadlines AS timestamptz[]), CAST(:seconds AS double precision[]), CAST(:clients AS text[]),
        CAST(:keys AS text[]), CAST(:fingerprints AS bytea[]), CAST(:callbacks AS text[]),
        CAST(:traces AS text[])
    ) AS given (id, model, n_inputs, priority, deadline, seconds, client, key, fingerprint, callback, trace)
), accepted AS (
    INSERT INTO tasks
        (id, model, n_inputs, priority, deadline, client, idempotency_key, request_fingerprint, traceparent)
    SELECT id, model, n_inputs, priority, coalesce(deadline, now() + make_interval(secs => seconds)),
           client, key, fingerprint, trace
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
SELECT id FROM accepted
""")

_FIRST = text("""
SELECT id, status, request_fingerprint FROM tasks
WHERE idempotency_key = :key AND client IS NOT DISTINCT FROM :client
""")


async def insert(connection: AsyncConnection, submissions: Sequence[Submission]) -> set[UUID]:
    """Store the submissions as PENDING tasks, all or none, and return the ids of those that are stored.

    What is missing has an idempotency key that stands for a task already: see `first`.
    """
    values = {
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
        "payloads": [s.payload for s in submissions],
    }
    return set((await connection.execute(_ACCEPT, values)).scalars())


async def first(connection: AsyncConnection, submission: Submission) -> Accepted:
    """Return the task that the submission's key stands for. Raises KeyReused."""
    key = {"key": submission.idempotency_key, "client": submission.client}
    row = (await connection.execute(_FIRST, key)).one()
    if row.request_fingerprint != submission.fingerprint:
        raise KeyReused(submission.idempotency_key)
    return Accepted(row.id, Status(row.status), replayed=True)
