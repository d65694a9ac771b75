"""What the report scorer takes and gives."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.contract import MAX_INTEGER, NO_NUL, Spec
from serving.outcomes import OutcomeRules


class Report(BaseModel):
    """One abuse report, as the product that received it describes it."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    abuse_type: Annotated[
        Literal["MSG", "PRF"], Field(description="Source of the report: a message or a profile.", examples=["MSG"])
    ]
    report_text_len: Annotated[
        int, Field(ge=0, le=MAX_INTEGER, description="Length of the report's text in characters.", examples=[120])
    ]
    profile_rating: Annotated[float, Field(ge=0, description="Rating of the reporter.", examples=[4.2])]
    popularity: Annotated[int, Field(ge=0, le=5, description="Popularity of the reporter, 0 to 5.", examples=[3])]
    lifetime_matches_created: Annotated[
        int, Field(ge=0, le=MAX_INTEGER, description="Matches that the reporter has ever created.", examples=[57])
    ]
    report_id: Annotated[
        str | None,
        Field(
            max_length=64,
            pattern=NO_NUL,
            description="The caller's own key: stored and returned, never a feature.",
            examples=["r-1001"],
        ),
    ] = None


class ReportPriority(BaseModel):
    """How urgently a report wants a person's eyes."""

    score: Annotated[
        float, Field(ge=0, le=1, description="Probability that the report is about real abuse.", examples=[0.93])
    ]


SPEC = Spec(
    name="report_scorer",
    title="Ranks abuse reports by priority",
    input=Report,
    output=ReportPriority,
    table="report_scores",
    key="report_id",
    outcomes=OutcomeRules(kinds=("abuse", "not_abuse", "unclear"), target="abuse", slices=("abuse_type",)),
    explains=True,
)
