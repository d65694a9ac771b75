"""Jobs as the API shows them."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row

from handler.answer.tasks import HIDDEN
from handler.auth.caller import Caller
from handler.http.openapi_problems import EXAMPLE_ID
from handler.problems import ProblemKind, RequestRefused
from handler.services import Services
from store import job_rows, jobs
from store.job_tables import JobKind, OnInvalid
from store.jobs import JobProgress
from store.result_rows import RowSource
from store.states import Priority

LOOKED_UP = 256
"""Parts that are looked up at once."""

REJECTS = 2_000
"""Rejected rows that are read at once."""


class JobStatus(StrEnum):
    OPEN = "OPEN"
    """It takes parts; those that it has are scored meanwhile."""
    RUNNING = "RUNNING"
    """It is closed, and rows wait."""
    DONE = "DONE"
    """No row waits."""
    CANCELLED = "CANCELLED"
    """It was cancelled."""


class NewJob(BaseModel):
    """A job to be made."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(max_length=64, examples=["report_scorer"])]
    kind: JobKind = Field(default=JobKind.FILE, examples=[JobKind.FILE])
    priority: Annotated[str, Field(pattern="^(high|normal|low)$", examples=["low"])] = "low"
    on_invalid: OnInvalid = Field(
        default=OnInvalid.STOP,
        description="What becomes of a row that is invalid: `stop` refuses its part, `collect` keeps it as a reject",
        examples=[OnInvalid.COLLECT],
    )
    callback_url: str | None = Field(
        default=None, description="Called once, when the job has ended", examples=["https://example.com/hooks/jobs"]
    )


class JobRows(BaseModel):
    """How far a job is."""

    received: int = Field(examples=[20_000])
    waiting: int = Field(examples=[10_000])
    scored: int = Field(examples=[9_999])
    rejected: int = Field(description="Rows that are invalid: GET /jobs/<id>/rejects", examples=[1])
    failed: int = Field(description="Rows whose task failed, expired or was cancelled", examples=[0])
    deleted: int = Field(description="Rows that retention or an erasure has deleted since", examples=[0])


class JobState(BaseModel):
    """A job: many tasks under one id."""

    job_id: UUID = Field(examples=[EXAMPLE_ID])
    status: JobStatus = Field(examples=[JobStatus.RUNNING])
    kind: JobKind = Field(examples=[JobKind.FILE])
    model: str = Field(examples=["report_scorer"])
    priority: str = Field(examples=["low"])
    on_invalid: OnInvalid = Field(examples=[OnInvalid.COLLECT])
    parts: int = Field(examples=[2])
    rows: JobRows
    created_at: datetime = Field(examples=["2026-01-31T09:00:00.000000Z"])
    closed_at: datetime | None = Field(examples=["2026-01-31T09:00:01.000000Z"])
    client: str | None = Field(
        default=None, description="Whose it is; only for keys that read every client's tasks", examples=["moderation"]
    )


class JobPage(BaseModel):
    """Jobs, newest first, without how far each is."""

    jobs: list["JobSummary"]
    next: UUID | None = Field(
        description="Give it as `before` to read on; null on the last page", examples=[EXAMPLE_ID]
    )


class JobSummary(BaseModel):
    job_id: UUID = Field(examples=[EXAMPLE_ID])
    kind: JobKind = Field(examples=[JobKind.FILE])
    model: str = Field(examples=["report_scorer"])
    created_at: datetime = Field(examples=["2026-01-31T09:00:00.000000Z"])
    closed_at: datetime | None = Field(examples=["2026-01-31T09:00:01.000000Z"])
    finished_at: datetime | None = Field(examples=["2026-01-31T09:00:20.000000Z"])
    cancelled_at: datetime | None = Field(examples=[None])
    client: str | None = Field(default=None, examples=["moderation"])


class AcceptedPart(BaseModel):
    """The part is stored, and its task will be scored."""

    job_id: UUID = Field(examples=[EXAMPLE_ID])
    part: int = Field(examples=[0])
    task_id: UUID | None = Field(description="Null: every row is rejected", examples=[EXAMPLE_ID])
    rows: int = Field(description="Rows of this part, the invalid ones included", examples=[10_000])
    rejected: int = Field(description="Rows of this part that are invalid", examples=[0])


class ClosedJob(BaseModel):
    """How many parts the job has: what is missing is named, and nothing is changed."""

    model_config = ConfigDict(extra="forbid")

    parts: int | None = Field(default=None, ge=1, le=10_000_000, examples=[2])


async def job_of(services: Services, job_id: UUID, caller: Caller) -> Row[Any]:
    """Return a job that the caller may see. Raises RequestRefused."""
    async with services.engine.connect() as connection:
        row = await jobs.read(connection, job_id, caller.confined_to)
    if row is None:
        raise RequestRefused(ProblemKind.UNKNOWN_JOB, f"Unknown job {job_id}: no job of yours has this id.")
    return row


async def state_of(services: Services, job_id: UUID, caller: Caller) -> JobState:
    """Return a job as the caller may see it. Raises RequestRefused."""
    row = await job_of(services, job_id, caller)
    async with services.engine.connect() as connection:
        return _shown(row, await jobs.progress(connection, job_id), caller)


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
