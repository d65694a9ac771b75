"""Has Celery take messages of models that were added after the worker started, and no more of those that were retired.

Nobody tells Celery: its event loop compares, each second, what it takes from with what the worker can score.
"""

from collections.abc import Callable
from typing import Any

import structlog
from celery import Celery, bootsteps
from celery.app.registry import TaskRegistry
from celery.app.trace import build_tracer
from celery.worker.consumer.tasks import Tasks

from broker.message import QUEUES
from registry.versions import INTERVAL
from worker.celery.model_watch import ModelWatch

log = structlog.get_logger(__name__)

NOTHING = f"{QUEUES}-"
"""A queue that no model has: without any, Celery would take from one of its own."""


class ScoringTasks(TaskRegistry):  # type: ignore[misc]
    """Celery's tasks, one a model. It makes that of a new model when the first message for it comes."""

    make: Callable[[str], Any]
    """Makes the task with this name, which is the model's queue's."""

    def __missing__(self, name: str) -> Any:
        if not name.startswith(QUEUES):
            raise self.NotRegistered(name)
        task = self.make(name)
        task.__trace__ = build_tracer(name, task, task.app.loader, app=task.app)
        return task


def follow(app: Celery, watch: ModelWatch) -> None:
    """Have the worker's consumer follow the watch."""

    class ModelQueuesStep(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = (Tasks,)

        def start(self, consumer: Any) -> None:
            self._timer = consumer.timer.call_repeatedly(INTERVAL, _follow, (consumer, watch))

        def stop(self, consumer: Any) -> None:
            self._timer.cancel()

    app.steps["consumer"].add(ModelQueuesStep)


def _follow(consumer: Any, watch: ModelWatch) -> None:
    queues = consumer.app.amqp.queues
    able, consumed = watch.queues, {name for name in queues.consume_from if name != NOTHING}
    for queue in able - consumed:
        assert queues[queue]  # noqa: S101 - this makes a plain queue; Celery itself would give it an exchange
        assert consumer.app.tasks[queue]  # noqa: S101 - this makes its task
        consumer.update_strategies()
        consumer.add_task_queue(queue)
        log.info("queue_consumed", queue=queue)
    for queue in consumed - able:
        consumer.cancel_task_queue(queue)
        log.info("queue_left", queue=queue)
