"""After how many days predictions and their tasks are deleted, for all models or by model; and findings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

FOREVER = "forever"
MOST = 36_500
"""Days: a hundred years. A longer age would be a slip."""

SHORTEST = 30
"""Days: a verdict of the gate counts for 7, and drift is news for as long."""

_MODEL = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class RetentionAges:
    """Days by model; None: forever."""

    others: int | None = None
    by_model: Mapping[str, int | None] = field(default_factory=dict)

    def of(self, model: str) -> int | None:
        return self.by_model.get(model, self.others)


def parse(setting: str) -> RetentionAges:
    """Read `365`, `365,report_scorer=90` or `365,report_scorer=forever`. Raises ValueError."""
    others: list[int | None] = []
    by_model: dict[str, int | None] = {}
    for part in map(str.strip, setting.split(",")) if setting.strip() else ():
        model, equals, age = map(str.strip, part.rpartition("="))
        if not equals:
            others.append(_days(age))
        elif not _MODEL.fullmatch(model) or model in by_model:
            raise ValueError(f"{part!r} names no model, or one that was named before")
        else:
            by_model[model] = None if age == FOREVER else _days(age)
    if len(others) > 1:
        raise ValueError("only one age may stand without a model")
    return RetentionAges(others[0] if others else None, by_model)


def _days(age: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", age) or not 1 <= int(age) <= MOST:
        raise ValueError(f"{age!r} is not a whole number of days from 1 to {MOST}")
    return int(age)


class RetentionSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    prediction_retention_days: str = Field(
        default="",
        description="days after which predictions and their tasks are deleted, for all models, by model, or both: 365, "
        "or report_scorer=90, or 365,report_scorer=90,translator=forever; empty: all are kept",
    )

    evaluation_retention_days: int = Field(
        default=400,
        ge=SHORTEST,
        le=MOST,
        description="days after which `millrace retain` deletes live evaluations, drift and reports of the gate; the "
        "newest of each stays, and a report on which a promotion rests; bulk replays and cancels go, too",
    )

    @field_validator("prediction_retention_days")
    @classmethod
    def _ages_are_well_formed(cls, setting: str) -> str:
        parse(setting)
        return setting

    @property
    def ages(self) -> RetentionAges:
        return parse(self.prediction_retention_days)
