"""The webhooks that `webhooks` sends, as the OpenAPI document describes them."""

from datetime import date, datetime
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

from fastapi import FastAPI
from pydantic import BaseModel, Field

from handler.http.json_schema import inlined
from handler.http.openapi_problems import EXAMPLE_ID
from store.states import Status


class EndedTask(BaseModel):
    task_id: UUID = Field(examples=[EXAMPLE_ID])
    status: Literal[Status.SUCCESS, Status.FAILURE, Status.REVOKED, Status.EXPIRED] = Field(examples=[Status.SUCCESS])
    model: str = Field(examples=["report_scorer"])


class TaskEnded(BaseModel):
    """A task has ended; its outputs are read at `GET /task/{task_id}`."""

    type: Literal["task.succeeded", "task.failed", "task.revoked", "task.expired"] = Field(examples=["task.succeeded"])
    timestamp: datetime = Field(examples=["2026-01-31T09:00:00.010000Z"])
    data: EndedTask


class EndedJob(BaseModel):
    job_id: UUID = Field(examples=[EXAMPLE_ID])
    status: Literal["DONE", "CANCELLED"] = Field(examples=["DONE"])
    model: str = Field(examples=["report_scorer"])


class JobEnded(BaseModel):
    """A job has ended; its outputs are read at `GET /jobs/{job_id}/results`."""

    type: Literal["job.done", "job.cancelled"] = Field(examples=["job.done"])
    timestamp: datetime = Field(examples=["2026-01-31T09:00:00.010000Z"])
    data: EndedJob


class DriftedColumn(BaseModel):
    column: str = Field(examples=["popularity"])
    against: Literal["training", "week"] = Field(examples=["week"])
    found: list[str] = Field(examples=[["distribution"]])


class ModelNews(BaseModel):
    model: str = Field(examples=["report_scorer"])
    version: str = Field(examples=["2"])
    by: str | None = Field(default=None, description="Who made it live", examples=["ada"])
    reason: str | None = Field(default=None, examples=["better on last week's reports"])
    gate: str | None = Field(default=None, description="What the gate said of it", examples=["pass"])
    against: str | None = Field(default=None, description="The live version that the gate compared", examples=["1"])
    reasons: list[str] | None = Field(default=None, description="Why the gate failed it", examples=[["worse"]])
    day: date | None = Field(default=None, description="The day that has drifted", examples=["2026-01-30"])
    columns: list[DriftedColumn] | None = Field(default=None, description="What has moved")


class ModelNotice(BaseModel):
    """Something has happened to a model; which members `data` has depends on the type."""

    type: Literal["model.promoted", "model.rolled_back", "model.gate_failed", "drift.found"] = Field(
        examples=["model.promoted"]
    )
    timestamp: datetime = Field(examples=["2026-01-31T09:00:00.010000Z"])
    data: ModelNews


def add_webhooks(app: FastAPI) -> None:
    """Describe what receivers are sent."""
    for tell, summary, event in (
        (_task_ended, "A task has ended", TaskEnded),
        (_job_ended, "A job has ended", JobEnded),
        (_model_event, "Something has happened to a model", ModelNotice),
    ):
        content: dict[str, Any] = {"application/json": {"schema": inlined(event.model_json_schema())}}
        name = tell.__name__.removeprefix("_")
        app.webhooks.add_api_route(
            name.replace("_", "-"),
            tell,
            methods=["POST"],
            status_code=HTTPStatus.NO_CONTENT,
            tags=["webhooks"],
            operation_id=name,
            summary=summary,
            response_description="Received; any other 2xx does as well",
            responses={HTTPStatus.GONE: {"description": "Gone: this event is not sent again"}},
            openapi_extra={"security": [], "requestBody": {"required": True, "content": content}},
        )


def _task_ended() -> None:
    """Tell a task's callback_url that the task has ended, signed as Standard Webhooks has it."""


def _job_ended() -> None:
    """Tell a job's callback_url that the job has ended, signed as Standard Webhooks has it."""


def _model_event() -> None:
    """Tell MODEL_WEBHOOK_URL what has happened to a model, signed as Standard Webhooks has it."""
