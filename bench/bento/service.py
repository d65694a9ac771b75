"""The report scorer as a BentoML task. Runs in BentoML's own environment (`bench.bento.start`)."""

from typing import Literal

import bentoml
from pydantic import BaseModel, Field

from models.report_scorer.model import load
from serving import artifact


class BentoReport(BaseModel):
    abuse_type: Literal["MSG", "PRF"]
    report_text_len: int = Field(ge=0)
    profile_rating: float = Field(ge=0)
    popularity: int = Field(ge=0, le=5)
    lifetime_matches_created: int = Field(ge=0)


@bentoml.service(workers=2, logging={"access": {"enabled": False}})  # two processes, as handler and worker are
class BentoScorer:
    def __init__(self) -> None:
        self._model = load(artifact.current("report_scorer").path)

    @bentoml.task  # type: ignore[untyped-decorator]
    def score(self, reports: list[BentoReport]) -> list[float]:
        columns = {name: [getattr(report, name) for report in reports] for name in BentoReport.model_fields}
        scores: list[float] = self._model.predict(columns)["score"].tolist()
        return scores
