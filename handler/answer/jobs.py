"""Jobs as the API shows them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Row

from handler.answer.job_bodies import BulkTasks, JobRows, JobState, JobStatus
from handler.answer.tasks import HIDDEN
from handler.auth.caller import Caller
from handler.problems import ProblemKind, RequestRefused
from handler.services import Services
from store import bulk_jobs, job_rows, jobs
from store.bulk_jobs import BulkProgress
from store.job_tables import BULK, JobKind
from store.jobs import JobProgress
from store.result_rows import RowSource
from store.states import Priority

LOOKED_UP = 256
"""Parts that are looked up at once."""

REJECTS = 2_000
"""Rejected rows that are read at once."""


async def job_of(services: Services, job_id: UUID, caller: Caller) -> Row[Any]:
    """Return a job that the caller may see. Raises RequestRefused."""
    async with services.engine.connect() as connection:
        row = await jobs.read(connection, job_id, caller.confined_to)
    if row is None:
        raise RequestRefused(ProblemKind.UNKNOWN_JOB, f"Unknown job {job_id}: no job of yours has this id.")
    return row


async def file_of(services: Services, job_id: UUID, caller: Caller) -> Row[Any]:
    """Return a file's job that the caller may see. Raises RequestRefused."""
    row = await job_of(services, job_id, caller)
    if row.kind != JobKind.FILE:
        detail = f"Job {job_id} is of kind {row.kind}; only jobs of files have parts, results and rejects."
        raise RequestRefused(ProblemKind.UNKNOWN_JOB, detail)
    return row


async def state_of(services: Services, job_id: UUID, caller: Caller) -> JobState:
    """Return a job as the caller may see it. Raises RequestRefused."""
    row = await job_of(services, job_id, caller)
    async with services.engine.connect() as connection:
        if row.kind in BULK:
            return _bulk(row, await bulk_jobs.progress(connection, job_id), caller)
        return _shown(row, await jobs.progress(connection, job_id), caller)


def _bulk(row: Row[Any], progress: BulkProgress, caller: Caller) -> JobState:
    ended = JobStatus.RUNNING if row.closed_at is None else JobStatus.DONE
    return JobState(
        job_id=row.id,
        status=ended if row.cancelled_at is None else JobStatus.CANCELLED,
        kind=row.kind,
        model=row.model,
        priority=None,
        on_invalid=None,
        parts=0,
        rows=None,
        filter=dict(progress.filter),
        tasks=BulkTasks(
            matched=progress.chosen,
            waiting=progress.chosen - progress.changed - progress.left_alone,
            done=progress.changed,
            left_alone=progress.left_alone,
            limit=progress.limit,
        ),
        created_at=row.created_at,
        closed_at=row.closed_at,
        client=row.client if caller.sees_clients else None,
    )


def _shown(row: Row[Any], progress: JobProgress, caller: Caller) -> JobState:
    return JobState(
        job_id=row.id,
        status=status_of(row, progress),
        kind=row.kind,
        model=row.model,
        priority=Priority(row.priority).name.lower(),
        on_invalid=row.on_invalid,
        parts=progress.parts,
        rows=JobRows(
            received=progress.received,
            waiting=progress.waiting,
            scored=progress.scored,
            rejected=progress.rejected,
            failed=progress.failed,
            deleted=progress.deleted,
        ),
        created_at=row.created_at,
        closed_at=row.closed_at,
        client=row.client if caller.sees_clients else None,
    )


def status_of(row: Row[Any], progress: JobProgress) -> JobStatus:
    if row.cancelled_at is not None:
        return JobStatus.CANCELLED
    if row.closed_at is None:
        return JobStatus.OPEN
    return JobStatus.RUNNING if progress.waiting else JobStatus.DONE


async def sources(services: Services, job_id: UUID) -> AsyncIterator[Sequence[RowSource]]:
    """Yield the tasks that have scored the job's rows, in the order of the file."""
    after: int | None = -1
    while after is not None:
        async with services.results.connection() as connection:
            found, after = await job_rows.sources(connection, job_id, after, LOOKED_UP)
        if found:
            yield found


async def rejects(services: Services, job_id: UUID, caller: Caller) -> AsyncIterator[bytes]:
    """Yield the rejected rows as lines of JSON, in the order of the file."""
    after = 0
    encoder = msgspec.json.Encoder()
    while True:
        async with services.results.connection() as connection:
            rows = await job_rows.rejects(connection, job_id, after, REJECTS)
        if not rows:
            return
        after = rows[-1].row_number
        yield encoder.encode_lines([{"row": row.row_number, "errors": _errors(row.errors, caller)} for row in rows])


def _errors(errors: list[dict[str, str]], caller: Caller) -> list[dict[str, str]]:
    return [{**error, "detail": HIDDEN} for error in errors] if caller.masked else errors
