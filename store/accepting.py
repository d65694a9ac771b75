"""Accepts submissions: the one statement that makes them tasks, and what an idempotency key does to it."""

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
        CAST(:keys AS text[]), CAST(:fingerprints AS bytea[])
    ) AS given (id, model, n_inputs, priority, deadline, seconds, client, key, fingerprint)
), accepted AS (
    INSERT INTO tasks
        (id, model, n_inputs, priority, deadline, client, idempotency_key, request_fingerprint)
    SELECT id, model, n_inputs, priority, coalesce(deadline, now() + make_interval(secs => seconds)),
           client, key, fingerprint
    FROM given
    ON CONFLICT (client, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id
), stored AS (
    INSERT INTO task_inputs (task_id, payload)
    SELECT id, payload
    FROM unnest(CAST(:ids AS uuid[]), CAST(:payloads AS bytea[])) AS inputs (id, payload) JOIN accepted USING (id)
)
SELECT id FROM accepted
""")

_CALLBACKS = text("""
INSERT INTO webhooks (task_id, url) SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:urls AS text[]))
""")

_FIRST = text("""
SELECT id, status, request_fingerprint FROM tasks
WHERE idempotency_key = :key AND client IS NOT DISTINCT FROM :client
""")


async def insert(connection: AsyncConnection, submissions: Sequence[Submission]) -> list[Accepted | KeyReused]:
    """Store the submissions as PENDING tasks, all or none, and say of each what became of it; the caller commits."""
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
        "payloads": [s.payload for s in submissions],
    }
    new = set((await connection.execute(_ACCEPT, values)).scalars())
    callbacks = [s for s in submissions if s.callback_url is not None and s.task_id in new]
    if callbacks:
        told = {"ids": [s.task_id for s in callbacks], "urls": [s.callback_url for s in callbacks]}
        await connection.execute(_CALLBACKS, told)
    return [Accepted(s.task_id) if s.task_id in new else await _first(connection, s) for s in submissions]


async def _first(connection: AsyncConnection, submission: Submission) -> Accepted | KeyReused:
    """Return the task that the submission's key stands for."""
    key = {"key": submission.idempotency_key, "client": submission.client}
    row = (await connection.execute(_FIRST, key)).one()
    if row.request_fingerprint != submission.fingerprint:
        return KeyReused(submission.idempotency_key)
    return Accepted(row.id, Status(row.status), replayed=True)
