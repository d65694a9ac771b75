"""The versions of a model as the API shows them, and what a change of them says."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from store.model_tables import State


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
        "that went past it; excepted: and the slices in which it may be worse; null: it had no say",
        examples=["pass"],
    )


Reason = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]


EVERY_VERSION = "all"
"""What to retire instead of one version."""

VersionName = Annotated[str, Field(max_length=64, pattern=r"^[^\x00]+$")]


SliceName = Annotated[str, Field(max_length=300, pattern=r"^[^\x00]+$")]


class Promotion(BaseModel):
    """Which version is to be live, and why: for the model's events."""

    model_config = ConfigDict(extra="forbid")

    version: VersionName | None = Field(default=None, description="By default the one added last", examples=["2"])
    reason: Reason | None = Field(default=None, examples=["better on last week's reports"])
    force: bool = Field(default=False, description="Go past the gate; needs a reason", examples=[False])
    excepted: list[SliceName] = Field(
        default=[],
        max_length=100,
        description="Slices in which it may be worse, as COLUMN=VALUE; needs a reason. The gate must have judged it "
        "with the same exceptions: `millrace models gate --except`",
        examples=[["abuse_type=MSG"]],
    )


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
