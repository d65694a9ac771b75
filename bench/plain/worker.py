"""The plain design's Celery application and its one task. The model is loaded once a worker process."""

import os
from typing import Any
from uuid import UUID

from celery import Celery
from celery.signals import worker_process_init
from sqlalchemy.orm import Session, sessionmaker

from bench.plain.database import ReportScore, engine
from models.report_scorer.model import ReportScorer, load
from serving import artifact

app = Celery("plain", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])

_model: ReportScorer
_session: sessionmaker[Session]


@worker_process_init.connect  # type: ignore[untyped-decorator]
def start(**_: Any) -> None:
    global _model, _session
    _model = load(artifact.current("report_scorer").path)
    _session = sessionmaker(engine(os.environ["DATABASE_URL"]))


@app.task(name="score")  # type: ignore[untyped-decorator]
def score(task_id: str, reports: list[dict[str, Any]]) -> list[float]:
    columns = {name: [report[name] for report in reports] for name in reports[0]}
    scores: list[float] = _model.predict(columns)["score"].tolist()
    with _session.begin() as session:
        session.add_all(
            ReportScore(task_id=UUID(task_id), position=position, score=score, **report)
            for position, (report, score) in enumerate(zip(reports, scores, strict=True))
        )
    return scores
