"""The Celery task: takes a message and hands it on."""

from uuid import UUID

from celery import Celery

from broker.message import SCORE
from worker.lifecycle import WorkerProcess


def register(app: Celery, process: WorkerProcess) -> None:
    """Make `process` score what the messages name."""

    @app.task(name=SCORE)  # type: ignore[untyped-decorator]
    def score(model: str, task_ids: list[str]) -> None:
        # The inputs and what becomes of them are in PostgreSQL; an error that reaches Celery is about
        # this delivery only, and rescue brings its tasks back.
        process.score(model, [UUID(task_id) for task_id in task_ids])
