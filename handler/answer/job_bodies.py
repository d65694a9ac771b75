"""The bodies of jobs: how one is asked for, and how the API shows it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from handler.http.openapi_problems import EXAMPLE_ID
from handler.http.parameters import Time
from serving.contract import NO_NUL
from store.job_tables import JobKind, OnInvalid
from store.states import Status


class JobStatus(StrEnum):
    OPEN = "OPEN"
    """It takes parts; those that it has are scored meanwhile."""
    RUNNING = "RUNNING"
    """It is closed, and rows wait; or it has tasks to replay or cancel."""
    DONE = "DONE"
    """No row waits, and no task is left to be replayed or cancelled."""
    CANCELLED = "CANCELLED"
    """It was cancelled."""


class NewJob(BaseModel):
    """A job to be made."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(max_length=64, examples=["report_scorer"])]
    kind: Literal[JobKind.FILE] = Field(default=JobKind.FILE, examples=[JobKind.FILE])
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


class BulkFilter(BaseModel):
    """Which tasks a job replays or cancels."""

    model_config = ConfigDict(extra="forbid")

    status: Status = Field(
        description="FAILURE to replay; PENDING or STARTED to cancel. A task that has left it by then is left alone",
        examples=[Status.FAILURE],
    )
    model: Annotated[str, Field(max_length=64, pattern=NO_NUL)] | None = Field(
        default=None, description="Only tasks of this model", examples=["report_scorer"]
    )
    client: Annotated[str, Field(max_length=256, pattern=NO_NUL)] | None = Field(
        default=None, description="Only tasks of this client; a key that sees its own tasks only gets those"
    )
    submitted_after: Time | None = Field(
        default=None, description="RFC 3339, included", examples=["2026-01-31T09:00:00Z"]
    )
    submitted_before: Time | None = Field(
        default=None, description="RFC 3339, not included", examples=["2026-02-01T09:00:00Z"]
    )


class BulkTasks(BaseModel):
    """How far a job is that replays or cancels tasks."""

    matched: int = Field(description="Tasks that the filter chose when the job was made", examples=[1_200])
    waiting: int = Field(description="Of these, not looked at yet", examples=[200])
    done: int = Field(description="Of these, replayed or cancelled", examples=[997])
    left_alone: int = Field(
        description="Of these, no longer what the filter asks for, deleted, or without their inputs", examples=[3]
    )
    limit: int = Field(description="How many it could choose, the newest first", examples=[100_000])


class JobState(BaseModel):
    """A job: many tasks under one id."""

    job_id: UUID = Field(examples=[EXAMPLE_ID])
    status: JobStatus = Field(examples=[JobStatus.RUNNING])
    kind: JobKind = Field(examples=[JobKind.FILE])
    model: str | None = Field(
        description="Null: it replays or cancels tasks of every model", examples=["report_scorer"]
    )
    priority: str | None = Field(description="Of a file's tasks", examples=["low"])
    on_invalid: OnInvalid | None = Field(description="Of a file", examples=[OnInvalid.COLLECT])
    parts: int = Field(examples=[2])
    rows: JobRows | None = Field(description="How far a file is; null for a job of another kind")
    filter: dict[str, str] | None = Field(
        default=None,
        description="Which tasks it replays or cancels, as it was asked; null for a file",
        examples=[{"status": Status.FAILURE, "model": "report_scorer"}],
    )
    tasks: BulkTasks | None = Field(
        default=None, description="How far a job is that replays or cancels tasks; null for a file"
    )
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
    model: str | None = Field(examples=["report_scorer"])
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
