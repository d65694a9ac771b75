"""The bodies of successful responses, as the OpenAPI document describes them."""

from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

from handler.answer.explanations import Explanations
from handler.http.openapi_problems import EXAMPLE_ID, FieldError
from handler.models import answered_fields
from serving.contract import Spec, per_spec
from store.model_tables import State
from store.states import Status


class Accepted(BaseModel):
    """The submission is stored and will be scored."""

    task_id: UUID = Field(examples=[EXAMPLE_ID])
    status: Status = Field(examples=[Status.PENDING])


class RejectedRow(BaseModel):
    """A row that cannot be scored."""

    row: int = Field(description="Its number, from 1", examples=[17])
    errors: list[FieldError]


class ValidatedRows(BaseModel):
    """What would become of the rows."""

    valid: int = Field(examples=[999])
    rejected: int = Field(examples=[1])
    rejects: list[RejectedRow] = Field(description="The first 100 rows that are rejected")


class TaskSummary(BaseModel):
    """A task without its predictions."""

    task_id: UUID = Field(examples=[EXAMPLE_ID])
    status: Status = Field(examples=[Status.SUCCESS])
    model: str = Field(examples=["report_scorer"])
    model_version: str | None = Field(description="The version that scored it", examples=["1.0.0"])
    n_inputs: int = Field(examples=[1])
    submitted_at: datetime = Field(examples=["2026-01-31T09:00:00.000000Z"])
    started_at: datetime | None = Field(
        description="Start of the latest attempt", examples=["2026-01-31T09:00:00.004000Z"]
    )
    finished_at: datetime | None = Field(examples=["2026-01-31T09:00:00.010000Z"])
    error: str | None = Field(description="Why it failed", examples=[None])
    errors: list[FieldError] | None = Field(
        default=None, description="Which of its inputs are at fault, where it failed because of them", examples=[None]
    )
    client: str | None = Field(
        default=None, description="Whose it is; only for keys that read every client's tasks", examples=["moderation"]
    )


class TaskPage(BaseModel):
    """Tasks, newest first."""

    tasks: list[TaskSummary]
    next: UUID | None = Field(
        description="Give it as `before` to read on; null on the last page", examples=[EXAMPLE_ID]
    )


class ServedModel(BaseModel):
    name: str = Field(examples=["report_scorer"])
    title: str = Field(examples=["Ranks abuse reports by priority"])
    version: str = Field(description="The live version", examples=["1.0.0"])
    runtime: str = Field(description="What a worker needs to load it", examples=["xgboost"])
    submit: str = Field(description="Where its inputs go", examples=["/models/report_scorer/submit"])
    processes: int = Field(description="Worker processes that have it loaded now", examples=[1])
    unloaded: str | None = Field(description="Why no worker has it loaded; its tasks wait", examples=[None])


class ModelCard(ServedModel):
    max_inputs: int = Field(description="Inputs in one submission", examples=[10_000])
    key: str | None = Field(description="The input field that holds the caller's own key", examples=["report_id"])
    input: dict[str, Any] = Field(description="JSON schema of one input", examples=[{"type": "object"}])
    output: dict[str, Any] = Field(description="JSON schema of one output", examples=[{"type": "object"}])
    outcomes: dict[str, Any] | None = Field(
        description="What its outcomes can be, and which one is the target; null: it takes none",
        examples=[{"kinds": ["abuse", "not_abuse", "unclear"], "target": "abuse"}],
    )
    evaluation: dict[str, Any] = Field(
        description="Metrics on data that training did not see", examples=[{"model": {"roc_auc": 0.9}}]
    )


class VersionSummary(BaseModel):
    """A version of a model. It never changes, but for its state."""

    version: str = Field(examples=["2"])
    state: State = Field(examples=[State.CANDIDATE])
    runtime: str = Field(examples=["xgboost"])
    created_at: datetime = Field(examples=["2026-01-31T09:00:00.000000Z"])
    created_by: str = Field(examples=["ada"])
    processes: int = Field(description="Worker processes that have it loaded now", examples=[0])


class VersionEvent(BaseModel):
    """What became of a version, who did it, and why."""

    at: datetime = Field(examples=["2026-01-31T09:00:00.000000Z"])
    version: str = Field(examples=["2"])
    event: str = Field(examples=["promoted"])
    old_state: State | None = Field(examples=[State.CANDIDATE])
    new_state: State = Field(examples=[State.LIVE])
    by: str = Field(examples=["ada"])
    reason: str | None = Field(examples=["better on last week's reports"])
    gate: str | None = Field(
        description="What the gate said of a promotion: pass, or too few to say; forced: and what it had said, for one "
        "that went past it; null: it had no say",
        examples=["pass"],
    )


Reason = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]


EVERY_VERSION = "all"
"""What to retire instead of one version."""

VersionName = Annotated[str, Field(max_length=64, pattern=r"^[^\x00]+$")]


class Promotion(BaseModel):
    """Which version is to be live, and why: for the model's events."""

    model_config = ConfigDict(extra="forbid")

    version: VersionName | None = Field(default=None, description="By default the one added last", examples=["2"])
    reason: Reason | None = Field(default=None, examples=["better on last week's reports"])
    force: bool = Field(default=False, description="Go past the gate; needs a reason", examples=[False])


class Retirement(BaseModel):
    """What is to be retired, and why: for the model's events."""

    model_config = ConfigDict(extra="forbid")

    version: VersionName = Field(
        description=f"One version, which is not live; or {EVERY_VERSION}: the whole model", examples=["1"]
    )
    reason: Reason | None = Field(default=None, examples=["replaced by churn_monthly"])


class RollbackReason(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Reason | None = Field(default=None, examples=["too many false alarms"])


class VersionChanged(BaseModel):
    """The change is stored. Workers and handlers follow within seconds."""

    model: str = Field(examples=["churn"])
    versions: list[str] = Field(description="The versions whose state this changed to", examples=[["2"]])
    state: State = Field(examples=[State.LIVE])


class LoadedModel(BaseModel):
    model: str = Field(examples=["report_scorer"])
    version: str = Field(examples=["1.0.0"])
    tasks_done: int = Field(description="Since the process started", examples=[41])
    inputs_done: int = Field(examples=[4100])
    cache_hits: int = Field(description="Inputs whose outputs came from the score cache", examples=[0])


class Worker(BaseModel):
    """One worker process, as it was at most 10 s ago."""

    id: UUID = Field(examples=[EXAMPLE_ID])
    host: str = Field(examples=["worker-1"])
    pid: int = Field(examples=[17])
    status: Literal["idle", "working"] = Field(examples=["working"])
    model: str | None = Field(description="The model whose tasks it works on", examples=["report_scorer"])
    since: datetime = Field(
        description="When it started to work on them; for an idle process, when it became ready",
        examples=["2026-01-31T09:00:00.004000Z"],
    )
    tasks_done: int = Field(examples=[41])
    resident_bytes: int | None = Field(
        description="Its memory; null where a worker of an older release tells none", examples=[431_226_880]
    )
    models: list[LoadedModel] = Field(description="The models that it has loaded")


class Heartbeat(BaseModel):
    message: str = Field(examples=["Service Ok"])


class Readiness(BaseModel):
    """Whether the handler accepts submissions, and which models workers have loaded."""

    ready: bool = Field(examples=[True])
    postgres: str = Field(examples=["ok"])
    schema_revision: str = Field(examples=["ok"])
    redis: str | None = Field(
        None,
        description="Without Redis, submissions are accepted, and scored when it is back; absent with ENGINE=pool",
        examples=["ok"],
    )
    models: dict[str, int] = Field(
        description="Worker processes that have each model loaded; with 0, its tasks wait",
        examples=[{"report_scorer": 1}],
    )
    unloaded: dict[str, str] = Field(
        default={},
        description="Models that no worker has loaded, or that one could not load, with the reason",
        examples=[{}],
    )


@per_spec
def finished_task(spec: Spec) -> type[TaskSummary]:
    """Describe a task of this model. If it has succeeded, it has a list for each output field, in the inputs' order."""
    fields: dict[str, Any] = {
        name: (
            list[field.annotation],  # type: ignore[name-defined]
            Field(default=None, alias=field.alias, description=field.description, examples=[field.examples]),
        )
        for name, field in answered_fields(spec).items()
    }
    fields["masked"] = (
        list[str],
        Field(
            default=None,
            description="The fields left out, if the key's role sees none that are personal",
            examples=[["report_id"]],
        ),
    )
    fields["explanations"] = (Explanations, Field(default=None, description="With `?explain=true`"))
    fields["model"] = (Literal[spec.name], Field(examples=[spec.name]))
    name = "".join(word.capitalize() for word in spec.name.split("_")) + "Task"
    return create_model(name, __base__=TaskSummary, **fields)


def any_task(specs: Mapping[str, Spec]) -> type[BaseModel]:
    """Describe a task of any of these models, told apart by the `model` in it."""
    tasks: list[Any] = [finished_task(spec) for spec in specs.values()]
    choice = Annotated[reduce(or_, tasks), Field(discriminator="model")] if len(tasks) > 1 else tasks[0]
    return create_model("Task", __base__=RootModel[choice])  # type: ignore[valid-type]
