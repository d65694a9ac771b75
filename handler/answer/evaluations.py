"""How good a model is on live traffic, as the API shows it."""

from datetime import datetime

from pydantic import BaseModel, Field


class LiveFigure(BaseModel):
    """A figure with the interval that holds the truth with 95 % confidence."""

    value: float | None = Field(description="Null: not defined, as by too few outcomes", examples=[0.81])
    low: float | None = Field(description="Null: too few outcomes to say", examples=[0.75])
    high: float | None = Field(description="Null: too few outcomes to say", examples=[0.86])


class LiveConfusion(BaseModel):
    """Counts of labels, weighted where there are weights."""

    labels: list[str] = Field(examples=[["left", "stayed"]])
    counts: list[list[float]] = Field(
        description="A row for each true label, a column for each guess", examples=[[[20, 3], [4, 40]]]
    )


class EvaluatedGroup(BaseModel):
    """The figures of a group of predictions."""

    by: str = Field(description="all, version, week, client, or slice:COLUMN", examples=["version"])
    group: str = Field(description="The version, the Monday of the week, the client, or the slice", examples=["1.0.0"])
    computed_at: datetime = Field(examples=["2026-01-31T09:00:00.000000Z"])
    predictions: int = Field(examples=[20000])
    outcomes: int = Field(description="Predictions with an outcome", examples=[1000])
    expected: float = Field(description="Outcomes in the end, by how long they took so far", examples=[1040.5])
    mature: bool = Field(description="False: too young to act on", examples=[True])
    reviewed: int = Field(description="Outcomes that the weighted figures rest on", examples=[980])
    kinds: dict[str, int] = Field(description="Outcomes by kind", examples=[{"abuse": 200, "not_abuse": 800}])
    naive: dict[str, LiveFigure] = Field(
        description="Of the predictions with an outcome",
        examples=[{"average_precision": {"value": 0.81, "low": 0.75, "high": 0.86}}],
    )
    weighted: dict[str, LiveFigure] | None = Field(
        description="Standing for all predictions; null: nobody drew any for review",
        examples=[{"average_precision": {"value": 0.62, "low": 0.53, "high": 0.7}}],
    )
    confusion: LiveConfusion | None = Field(description="Null: the outcomes have a target")


class LiveEvaluation(BaseModel):
    """What was stored last of each grouping, by `millrace evaluate --live`."""

    model: str = Field(examples=["report_scorer"])
    groups: list[EvaluatedGroup]
