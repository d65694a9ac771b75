"""Leases of reviewers, and how reviews go, as the API shows them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from handler.http.openapi_problems import EXAMPLE_ID
from serving.contract import NO_NUL
from store.outcome_tables import Policy

MOST = 20
"""Predictions in one request."""

LEASES = 1_000
"""Leases that one request may name."""


class LeaseRequest(BaseModel):
    """What a reviewer wants to review."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(max_length=64, pattern=NO_NUL, examples=["report_scorer"])
    n: int = Field(default=1, ge=1, le=MOST, description="How many predictions")
    reviewer: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=100,
            pattern=NO_NUL,
            description="Who will review; by default the client of the key",
            examples=["ada"],
        ),
    ] = None
    filter: dict[str, Any] = Field(
        default={},
        description="By field of the model, scored_at, model_version, task_id, position: a value, a list of some, or "
        "bounds",
        examples=[{"abuse_type": "MSG", "popularity": {"ge": 3}}],
    )


class ReviewLease(BaseModel):
    """A prediction that nobody else gets until the lease ends."""

    lease_id: int = Field(examples=[17])
    lease_until: datetime = Field(examples=["2026-01-31T09:15:00.000000Z"])
    model: str = Field(examples=["report_scorer"])
    task_id: UUID = Field(examples=[EXAMPLE_ID])
    position: int = Field(examples=[0])
    score: float | None = Field(
        description="Null: hidden, as it was drawn at random or is a second review", examples=[0.93]
    )
    input: dict[str, Any] = Field(description="The input as it was submitted", examples=[{"report_id": "r-1"}])


class ReviewLeases(BaseModel):
    """What the reviewer now holds in addition, in the order in which it was drawn."""

    leases: list[ReviewLease]
    pool: int = Field(description="Predictions that could have been drawn", examples=[4_120])
    held: int = Field(description="Predictions that the reviewer now holds of the model", examples=[1])


class LeaseIds(BaseModel):
    """Leases of this client."""

    model_config = ConfigDict(extra="forbid")

    leases: Annotated[list[Annotated[int, Field(ge=1, le=2**62)]], Field(min_length=1, max_length=LEASES)] = Field(
        examples=[[17]]
    )


class ChangedLeases(BaseModel):
    changed: list[int] = Field(description="The leases that were open", examples=[[17]])
    ended: list[int] = Field(description="The leases that had ended before", examples=[[]])


class DrawCounts(BaseModel):
    """What became of the draws by one policy."""

    policy: Policy = Field(examples=[Policy.RANKED])
    drawn: int = Field(examples=[950])
    shown: int = Field(description="Displayed to their reviewer", examples=[940])
    decided: int = Field(examples=[930])
    released: int = Field(description="Given back", examples=[10])
    expired: int = Field(description="Not decided in time", examples=[6])
    held: int = Field(description="Under review now", examples=[4])


class DrawsSummary(BaseModel):
    """What became of a model's draws."""

    model: str = Field(examples=["report_scorer"])
    drawn: int = Field(examples=[1000])
    never_decided: int = Field(description="Drawn, and given back or expired", examples=[16])
    policies: list[DrawCounts]


class PairAgreement(BaseModel):
    """How far two reviewers agree."""

    reviewers: Annotated[list[str], Field(min_length=2, max_length=2)] | None = Field(
        description="Null: masked", examples=[["ada", "grace"]]
    )
    predictions: int = Field(description="Predictions that both have reviewed", examples=[50])
    agreed: int = Field(description="Of these, with the same outcome", examples=[46])
    kappa: float | None = Field(description="Cohen's kappa; null where it is not defined", examples=[0.84])


class Agreement(BaseModel):
    """How far reviewers agree on what was reviewed twice, the second time without knowing of the first."""

    model: str = Field(examples=["report_scorer"])
    predictions: int = Field(description="Predictions that were reviewed twice", examples=[50])
    agreed: int = Field(description="Of these, with the same outcome twice", examples=[46])
    alpha: float | None = Field(description="Krippendorff's alpha (nominal); null: not defined", examples=[0.84])
    pairs: list[PairAgreement]
