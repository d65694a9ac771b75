"""Ends jobs: a part that failed because of single rows goes again without them; one whose tasks ended is over."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from store import jobs, submissions
from store.claims import WaitingTask
from store.job_tables import OnInvalid
from store.jobs import Errors
from store.states import FAILURE, PENDING, STARTED, Priority, status_in
from store.submissions import Submission


class FailedPart(NamedTuple):
    """A part whose task failed because of single rows, in a job that collects these."""

    job_id: UUID
    part: int
    first_row: int
    n_rows: int
    rejected: Sequence[int]
    task_id: UUID
    model: str
    priority: int
    client: str | None
    accepted_version: str | None
    faults: Sequence[Mapping[str, object]]
    """position, field, detail: of the inputs that the task has."""
    payload: bytes


_TO_BE_SENT = f"""
    tasks.{status_in(FAILURE)} AND faults IS NOT NULL AND on_invalid = '{OnInvalid.COLLECT}' AND cancelled_at IS NULL
    AND EXISTS (SELECT FROM task_inputs WHERE task_id = tasks.id)
"""
_FAILED = text(f"""
SELECT job_id, part, first_row, n_rows, rejected, tasks.id, tasks.model, tasks.priority, tasks.client,
    accepted_version, faults, payload
FROM jobs JOIN job_parts ON job_id = jobs.id JOIN tasks ON tasks.id = task_id JOIN task_inputs USING (task_id)
WHERE jobs.finished_at IS NULL AND tasks.id <> ALL(:except) AND {_TO_BE_SENT}
ORDER BY job_id, part LIMIT :limit FOR UPDATE OF job_parts, tasks SKIP LOCKED FOR SHARE OF jobs SKIP LOCKED
""")


def failed_parts(connection: Connection, *, limit: int, but: Collection[UUID]) -> list[FailedPart]:
    """Return parts that are to be sent again, `but` those of these tasks, and lock them with their tasks and jobs."""
    rows = connection.execute(_FAILED, {"limit": limit, "except": list(but)})
    return [FailedPart(*row)._replace(payload=bytes(row.payload)) for row in rows]


_REPLACE = text("""
UPDATE job_parts SET rejected = :rejected, task_id = :task_id WHERE job_id = :job_id AND part = :part
""")


_DROP = text("DELETE FROM task_inputs WHERE task_id = :id")


def send_again(
    connection: Connection, part: FailedPart, errors: Mapping[int, Errors], submission: Submission | None
) -> WaitingTask | None:
    """Give a part a new task, for the caller to publish; None: every row is rejected.

    `errors` has the newly rejected rows by their place in the part.
    """
    jobs.reject(connection, part.job_id, {part.first_row + place: found for place, found in errors.items()})
    rejected = sorted({*part.rejected, *errors})
    task_id = submission.task_id if submission else None
    values = {"rejected": rejected, "task_id": task_id, "job_id": part.job_id, "part": part.part}
    connection.execute(_REPLACE, values)
    connection.execute(_DROP, {"id": part.task_id})  # or its client could replay it, and have the rows scored twice
    if submission is None:
        return None
    submissions.accept(connection, [submission])
    return WaitingTask(
        submission.task_id, submission.model, submission.n_inputs, Priority(submission.priority), submission.client
    )


_FINISH = text(f"""
WITH finished AS (
    UPDATE jobs SET finished_at = now()
    WHERE id IN (
        SELECT id FROM jobs AS ended
        WHERE finished_at IS NULL AND closed_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM job_parts JOIN tasks ON tasks.id = task_id, jobs
            WHERE job_id = ended.id AND jobs.id = job_id AND (tasks.{status_in(PENDING, STARTED)} OR {_TO_BE_SENT})
        )
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    RETURNING id, model, CASE WHEN cancelled_at IS NULL THEN 'DONE' ELSE 'CANCELLED' END AS status, finished_at
), told AS (
    UPDATE event_webhooks SET type = 'job.' || lower(status), happened_at = finished_at, due_at = finished_at,
        data = jsonb_build_object('job_id', finished.id, 'status', status, 'model', model)
    FROM finished WHERE job_id = finished.id
)
SELECT id FROM finished
""")


def finish(connection: Connection, *, limit: int) -> list[UUID]:
    """Note the end of closed jobs of which nothing waits, let their callbacks be due, and return their ids."""
    return list(connection.execute(_FINISH, {"limit": limit}).scalars())


_ABANDON = text("""
UPDATE jobs SET cancelled_at = now(), closed_at = now()
WHERE id IN (
    SELECT id FROM jobs WHERE kind = 'file' AND closed_at IS NULL AND created_at < now() - :age
    LIMIT :limit FOR UPDATE SKIP LOCKED
)
RETURNING id
""")


def abandon(connection: Connection, *, older_than: timedelta, limit: int) -> list[UUID]:
    """Close jobs of files that nobody has closed for so long, and return their ids: no part can come any more."""
    return list(connection.execute(_ABANDON, {"age": older_than, "limit": limit}).scalars())
