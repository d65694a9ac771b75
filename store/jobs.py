"""Jobs as the handler sees them: make, add a part, close, cancel, read. (rescue ends them: store/job_ends.py.)

A part is a submission of its own, stored with its task in one transaction. Repeated, it changes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store import submissions
from store.job_tables import OnInvalid
from store.states import FAILURE, PENDING, STARTED, SUCCESS, status_in
from store.submissions import Submission

Errors = Sequence[Mapping[str, str]]
"""What is wrong with a row: `pointer` and `detail` each."""


@dataclass(frozen=True, slots=True)
class JobPart:
    """Some consecutive rows of a job. `rejected` has, by their place in the part, those that cannot be scored."""

    job_id: UUID
    part: int
    first_row: int
    n_rows: int
    rejected: Mapping[int, Errors]
    fingerprint: bytes


class StoredPart(NamedTuple):
    task_id: UUID | None
    n_rows: int
    n_rejected: int
    repeated: bool = False
    transaction: int | None = None
    """Of a new task."""


class JobClosed(Exception):
    """The job takes no more parts: it was closed or cancelled."""


class PartReused(Exception):
    """Another part was sent under this number before."""


class PartsMissing(Exception):
    """Not all of a job's parts are stored; the argument is the first numbers that are missing."""

    def __init__(self, missing: Sequence[int]) -> None:
        super().__init__(missing)
        self.missing = missing


_MAKE = text("""
INSERT INTO jobs (id, kind, model, client, priority, on_invalid, idempotency_key)
VALUES (:id, :kind, :model, :client, :priority, :on_invalid, :idempotency_key)
ON CONFLICT (client, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
""")
_CALL_BACK = text("INSERT INTO event_webhooks (job_id, client, url) VALUES (:id, :client, :callback_url)")
_ORIGINAL = text("""
SELECT jobs.id, kind, model, on_invalid, url AS callback_url, filter, task_limit
FROM jobs LEFT JOIN event_webhooks ON event_webhooks.job_id = jobs.id LEFT JOIN bulk_jobs ON bulk_jobs.job_id = jobs.id
WHERE idempotency_key = :idempotency_key AND jobs.client IS NOT DISTINCT FROM :client
""")


async def make(connection: AsyncConnection, job: Mapping[str, Any]) -> Row[Any] | None:
    """Make a job of these columns and `callback_url`; or return the one that its idempotency key stands for."""
    if not (await connection.execute(_MAKE, job)).rowcount:
        return (await connection.execute(_ORIGINAL, job)).one()
    if job["callback_url"] is not None:
        await connection.execute(_CALL_BACK, job)
    return None


_LOCK = text("SELECT closed_at, cancelled_at FROM jobs WHERE id = :id FOR SHARE")
_ADD = text("""
INSERT INTO job_parts (job_id, part, first_row, n_rows, rejected, task_id, fingerprint)
VALUES (:job_id, :part, :first_row, :n_rows, :rejected, :task_id, :fingerprint)
ON CONFLICT (job_id, part) DO NOTHING
""")
_PART = text("""
SELECT task_id, n_rows, fingerprint, cardinality(rejected) AS n_rejected
FROM job_parts WHERE job_id = :id AND part = :part
""")
_REJECT = text("""
INSERT INTO job_rejects (job_id, row_number, errors)
SELECT :job_id, number, CAST(errors AS jsonb)
FROM unnest(CAST(:rows AS bigint[]), CAST(:errors AS text[])) AS given (number, errors)
ON CONFLICT DO NOTHING
""")


def add_part(connection: Connection, part: JobPart, submission: Submission | None) -> StoredPart:
    """Store a part with its task; a repeated one is left as it is. Raises JobClosed, PartReused."""
    job = connection.execute(_LOCK, {"id": part.job_id}).one()
    stored = stored_part(connection, part)
    if stored is not None:
        return stored
    if job.closed_at is not None or job.cancelled_at is not None:
        raise JobClosed
    task_id = submission.task_id if submission else None
    values = {
        "job_id": part.job_id,
        "part": part.part,
        "first_row": part.first_row,
        "n_rows": part.n_rows,
        "rejected": sorted(part.rejected),
        "task_id": task_id,
        "fingerprint": part.fingerprint,
    }
    if not connection.execute(_ADD, values).rowcount:  # somebody has stored it at this very moment
        again = stored_part(connection, part)
        assert again is not None  # noqa: S101
        return again
    reject(connection, part.job_id, {part.first_row + place: errors for place, errors in part.rejected.items()})
    accepted = submissions.accept(connection, [submission]) if submission else None
    return StoredPart(task_id, part.n_rows, len(part.rejected), transaction=accepted and accepted.transaction)


def stored_part(connection: Connection, part: JobPart) -> StoredPart | None:
    """Return what an earlier request with this part has stored. Raises PartReused."""
    row = connection.execute(_PART, {"id": part.job_id, "part": part.part}).one_or_none()
    if row is None:
        return None
    if row.fingerprint != part.fingerprint:
        raise PartReused
    return StoredPart(row.task_id, row.n_rows, row.n_rejected, repeated=True)


def reject(connection: Connection, job_id: UUID, errors: Mapping[int, Errors]) -> None:
    """Note, by their numbers in the file, rows that cannot be scored."""
    if errors:
        texts = [json.dumps(list(of_row)) for of_row in errors.values()]
        connection.execute(_REJECT, {"job_id": job_id, "rows": list(errors), "errors": texts})


_CLOSE = text("UPDATE jobs SET closed_at = coalesce(closed_at, now()) WHERE id = :id")
_NUMBERS = text("""
SELECT number FROM generate_series(0, least(:parts, :most + 101) - 1) AS number
WHERE NOT EXISTS (SELECT FROM job_parts WHERE job_id = :id AND part = number) ORDER BY number LIMIT 100
""")
_PARTS = text("SELECT count(*), coalesce(max(part) + 1, 0) FROM job_parts WHERE job_id = :id")


async def close(connection: AsyncConnection, job_id: UUID, parts: int | None) -> None:
    """Let a job take no more parts, of which there are so many. Raises PartsMissing, and nothing is changed."""
    await connection.execute(text("SELECT FROM jobs WHERE id = :id FOR UPDATE"), {"id": job_id})
    stored, most = (await connection.execute(_PARTS, {"id": job_id})).one()
    wanted = most if parts is None else parts
    if stored != wanted or most != wanted:
        missing = await connection.execute(_NUMBERS, {"id": job_id, "parts": wanted, "most": most})
        raise PartsMissing([row.number for row in missing])
    await connection.execute(_CLOSE, {"id": job_id})


_CANCEL = text("""
UPDATE jobs SET cancelled_at = now(), closed_at = coalesce(closed_at, now())
WHERE id = :id AND cancelled_at IS NULL AND finished_at IS NULL
""")


async def cancel(connection: AsyncConnection, job_id: UUID) -> bool:
    """Let a job take no more parts, and return whether it had not ended; its tasks are cancelled by transitions.py."""
    return bool((await connection.execute(_CANCEL, {"id": job_id})).rowcount)


_SHOWN = "id, kind, model, client, priority, on_invalid, created_at, closed_at, cancelled_at, finished_at"
_READ = text(f"SELECT {_SHOWN} FROM jobs WHERE id = :id AND (CAST(:client AS text) IS NULL OR client = :client)")


async def read(connection: AsyncConnection, job_id: UUID, client: str | None) -> Row[Any] | None:
    """Return a job; with a client, only its own."""
    return (await connection.execute(_READ, {"id": job_id, "client": client})).one_or_none()


async def newest(connection: AsyncConnection, client: str | None, before: UUID | None, limit: int) -> list[Row[Any]]:
    """Return jobs, the newest first, from the one that follows `before`; with a client, only its own."""
    own = "client = :client AND" if client is not None else ""
    later = "id < :before AND" if before is not None else ""
    query = text(f"SELECT {_SHOWN} FROM jobs WHERE {own} {later} true ORDER BY id DESC LIMIT :limit")
    given = {"client": client, "before": before, "limit": limit}
    rows = await connection.execute(query, {name: value for name, value in given.items() if value is not None})
    return list(rows)


class JobProgress(NamedTuple):
    """How far a job is, in rows."""

    parts: int
    received: int
    waiting: int
    scored: int
    rejected: int
    failed: int
    deleted: int
    """Rows that retention or an erasure has deleted since."""


# A task that has failed because of rows which are collected waits for rescue, which sends it again without them.
_AGAIN = f"""
tasks.{status_in(FAILURE)} AND faults IS NOT NULL AND on_invalid = '{OnInvalid.COLLECT}' AND cancelled_at IS NULL
    AND jobs.finished_at IS NULL AND EXISTS (SELECT FROM task_inputs WHERE task_id = tasks.id)
"""
_PROGRESS = text(f"""
SELECT count(*) AS parts, coalesce(sum(n_rows), 0) AS received, coalesce(sum(cardinality(rejected)), 0) AS rejected,
    coalesce(sum(n_inputs) FILTER (WHERE tasks.{status_in(PENDING, STARTED)} OR {_AGAIN}), 0) AS waiting,
    coalesce(sum(n_inputs) FILTER (WHERE tasks.{status_in(SUCCESS)}), 0) AS scored,
    coalesce(sum(n_inputs), 0) AS kept
FROM job_parts LEFT JOIN tasks ON tasks.id = job_parts.task_id, jobs
WHERE job_id = :id AND jobs.id = job_id
""")


async def progress(connection: AsyncConnection, job_id: UUID) -> JobProgress:
    row = (await connection.execute(_PROGRESS, {"id": job_id})).one()
    parts, received, rejected, waiting, scored, kept = map(int, row)
    failed, deleted = kept - waiting - scored, received - rejected - kept
    return JobProgress(parts, received, waiting, scored, rejected, failed, deleted)
