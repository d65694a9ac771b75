"""The Celery tasks, one a model: take a message and hand it on."""

from collections.abc import Iterable
from uuid import UUID

import structlog
from celery import Celery

from broker.message import queue_of
from worker.lifecycle import WorkerProcess

log = structlog.get_logger(__name__)


class DeliveryFailed(Exception):
    """The chunk could not be scored or stored; the worker's log says why."""


def register(app: Celery, process: WorkerProcess, models: Iterable[str]) -> None:
    """Make `process` score what the messages name."""
    for model in models:
        _register(app, process, model)


def _register(app: Celery, process: WorkerProcess, model: str) -> None:
    @app.task(name=queue_of(model))  # type: ignore[untyped-decorator]
    def score(task_ids: list[str]) -> None:
        # The inputs and what becomes of them are in PostgreSQL; an error that reaches Celery is about
        # this delivery only, and rescue brings its tasks back.
        try:
            process.score(model, [UUID(task_id) for task_id in task_ids])
        except Exception:
            log.exception("delivery_failed", model=model, task_ids=task_ids)
            raise DeliveryFailed from None  # Celery would tell its log, and Flower, all that the error quotes
