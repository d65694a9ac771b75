"""The bodies of successful answers, as OpenAPI describes them."""

from datetime import datetime
from functools import cache
from typing import Any, Literal
from uuid import UUID

import msgspec
from fastapi import Response
from pydantic import BaseModel, Field, create_model

from models.contract import Spec
from store.states import Status

_EXAMPLE_ID = "019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"


class Accepted(BaseModel):
    """The submission is stored and will be scored."""

    task_id: UUID = Field(examples=[_EXAMPLE_ID])
    status: Status = Field(examples=["PENDING"])


class TaskSummary(BaseModel):
    """A task without its predictions."""

    task_id: UUID = Field(examples=[_EXAMPLE_ID])
    status: Status = Field(examples=["SUCCESS"])
    model: str = Field(examples=["report_scorer"])
    model_version: str | None = Field(description="The version that scored it", examples=["1.0.0"])
    n_inputs: int = Field(examples=[1])
    submitted_at: datetime = Field(examples=["2026-01-31T09:00:00.000000Z"])
    started_at: datetime | None = Field(
        description="Start of the latest attempt", examples=["2026-01-31T09:00:00.004000Z"]
    )
    finished_at: datetime | None = Field(examples=["2026-01-31T09:00:00.010000Z"])
    error: str | None = Field(description="Why it failed", examples=[None])


class TaskPage(BaseModel):
    """Tasks, newest first."""

    tasks: list[TaskSummary]
    next: UUID | None = Field(
        description="Give it as `before` to read on; null on the last page", examples=[_EXAMPLE_ID]
    )


class ServedModel(BaseModel):
    name: str = Field(examples=["report_scorer"])
    title: str = Field(examples=["Ranks abuse reports by priority"])
    version: str = Field(description="The version that workers load when they start", examples=["1.0.0"])
    submit: str = Field(description="Where its inputs go", examples=["/models/report_scorer/submit"])
    processes: int = Field(description="Worker processes that have it loaded now", examples=[1])


class ModelCard(ServedModel):
    max_inputs: int = Field(description="Inputs in one submission", examples=[10_000])
    input: dict[str, Any] = Field(description="JSON schema of one input", examples=[{"type": "object"}])
    output: dict[str, Any] = Field(description="JSON schema of one output", examples=[{"type": "object"}])
    evaluation: dict[str, Any] = Field(
        description="Metrics on data that training did not see", examples=[{"model": {"roc_auc": 0.9}}]
    )


class LoadedModel(BaseModel):
    model: str = Field(examples=["report_scorer"])
    version: str = Field(examples=["1.0.0"])
    tasks_done: int = Field(description="Since the process started", examples=[41])
    inputs_done: int = Field(examples=[4100])
    cache_hits: int = Field(description="How many of these inputs the score cache had the outputs of", examples=[0])


class Worker(BaseModel):
    """One worker process, as it was at most 10 s ago."""

    id: UUID = Field(examples=[_EXAMPLE_ID])
    host: str = Field(examples=["worker-1"])
    pid: int = Field(examples=[17])
    status: Literal["idle", "working"] = Field(examples=["working"])
    model: str | None = Field(description="The model whose tasks it works on", examples=["report_scorer"])
    since: datetime = Field(
        description="When it began to work on them; of an idle one, when it became ready",
        examples=["2026-01-31T09:00:00.004000Z"],
    )
    tasks_done: int = Field(examples=[41])
    models: list[LoadedModel] = Field(description="What it has in memory")


class Heartbeat(BaseModel):
    message: str = Field(examples=["Service Ok"])


class Readiness(BaseModel):
    """Whether submissions can be taken in, and which models are loaded somewhere."""

    ready: bool = Field(examples=[True])
    postgres: str = Field(examples=["ok"])
    schema_revision: str = Field(examples=["ok"])
    models: dict[str, int] = Field(
        description="Worker processes that have each model loaded; with 0, its tasks wait",
        examples=[{"report_scorer": 1}],
    )


@cache
def finished_task(spec: Spec) -> type[TaskSummary]:
    """Describe a task of this model: when it has succeeded, one list a field of the output, in the inputs' order."""
    fields: dict[str, Any] = {
        name: (list[field.annotation], Field(default=None, description=field.description, examples=[field.examples]))  # type: ignore[name-defined]
        for name, field in answered_fields(spec).items()
    }
    name = "".join(word.capitalize() for word in spec.name.split("_")) + "Task"
    return create_model(name, __base__=TaskSummary, **fields)


def answered_fields(spec: Spec) -> dict[str, Any]:
    """Return the fields that a finished task answers with: the outputs and the caller's own key."""
    key = {spec.key: spec.input.model_fields[spec.key]} if spec.key else {}
    return {**spec.output.model_fields, **key}


def any_task(specs: dict[str, Spec]) -> Any:
    """Describe a task of any of these models."""
    answer: Any = None
    for spec in specs.values():
        described = finished_task(spec)
        answer = described if answer is None else answer | described
    return answer


class Json(Response):
    """A response of JSON: Starlette's, without what it does to find out headers that are known here."""

    media_type = "application/json"

    def __init__(self, body: Any, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self.status_code = status
        self.background = None
        self.body = msgspec.json.encode(body)
        self.raw_headers = [
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
            *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()),
        ]


def json(body: Any, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """Answer with JSON, at a tenth of the cost of a pydantic model: a task may hold 10,000 scores."""
    return Json(body, headers, status)
