"""Outcomes as the API shows them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import Row

from handler.auth.caller import Caller
from handler.http.openapi_problems import EXAMPLE_ID


class SeveralPredictions(BaseModel):
    """An outcome whose key fits several predictions: it is about all of them."""

    position: int = Field(description="Place of the outcome in the request, from 0", examples=[3])
    key: str | None = Field(examples=["r-1"])
    predictions: int = Field(examples=[2])


class StoredOutcomes(BaseModel):
    """All outcomes of the request are stored durably."""

    stored: int = Field(description="Outcomes that are new", examples=[1])
    repeated: int = Field(description="Outcomes that were stored before, and stay as they are", examples=[0])
    matched: int = Field(description="Outcomes that are about a prediction which is there", examples=[1])
    waiting: int = Field(description="Outcomes whose prediction is not there yet", examples=[0])
    several: list[SeveralPredictions] = Field(description="The first 100 outcomes that are about several predictions")


class StoredOutcome(BaseModel):
    id: int = Field(description="In the order in which they were stored", examples=[1])
    model: str = Field(examples=["report_scorer"])
    key: str | None = Field(examples=["r-1"])
    task_id: UUID | None = Field(examples=[EXAMPLE_ID])
    position: int | None = Field(examples=[0])
    outcome: str | None = Field(examples=["abuse"])
    value: float | None = Field(examples=[None])
    decided_at: datetime = Field(examples=["2026-11-28T10:00:00.000000Z"])
    received_at: datetime = Field(examples=["2026-11-28T10:00:01.000000Z"])
    reviewer: str | None = Field(examples=["ada"])
    source: str | None = Field(examples=["moderation"])
    withdrawn: bool = Field(examples=[False])
    predictions: int = Field(description="Predictions that it is about; 0: it waits for one", examples=[1])
    client: str | None = Field(
        default=None, description="Whose key it came with; only for keys that read every client's", examples=["shop"]
    )
    masked: list[str] | None = Field(
        default=None,
        description="The fields left out, if the key's role sees none that are personal",
        examples=[["key", "reviewer"]],
    )


class OutcomePage(BaseModel):
    """Outcomes, the ones stored last first."""

    outcomes: list[StoredOutcome]
    next: int | None = Field(description="Give it as `before` to read on; null on the last page", examples=[1])


PERSONAL = ("key", "reviewer")
"""What is left out for roles that see no personal fields."""


def shown(row: Row[Any], predictions: int, caller: Caller) -> dict[str, Any]:
    """Return an outcome as the caller may see it."""
    found = {name: value for name, value in row._asdict().items() if name not in ("client", "everyones")}
    found["predictions"] = predictions
    if caller.sees_clients:
        found["client"] = row.client
    if caller.masked:
        found |= {**dict.fromkeys(PERSONAL), "masked": list(PERSONAL)}
    return found
