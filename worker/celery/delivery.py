"""What Celery calls in a worker: its signals, and a Celery task for each model, which scores a delivered chunk."""

import gc
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from tempfile import TemporaryFile
from typing import Any
from uuid import UUID
from wsgiref.simple_server import WSGIServer

import billiard
import billiard.pool
import structlog
from celery import Celery, Task, signals
from celery.exceptions import Ignore

from broker.broker import AnnounceFailed
from broker.message import QUEUES
from broker.redis_broker import RedisBroker
from broker.settings import BrokerSettings
from store.claims import TaskState
from store.settings import StoreSettings
from store.states import Status
from telemetry import exporter
from worker.celery.model_queues import ScoringTasks
from worker.celery.model_watch import ModelWatch
from worker.metrics import MetricsFile, WorkerCollector
from worker.scoring.live_models import LiveModels
from worker.scoring.metrics import ScoringMetrics
from worker.scoring.process import ScoringProcess
from worker.scoring.score_cache import ScoreCache
from worker.scoring.wanted import refused, wanted
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

# Tenths of a second that an ending process waits for the main process to read its last results. A main process that
# stops forgets the jobs whose start it has not read yet (https://github.com/celery/celery/pull/6863), and then reads no
# more results. By default the process would wait for that 30 seconds, longer than a container has to stop. Nothing is
# lost with an unread result: PostgreSQL has the scores.
billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 20

ENDED_UNSCORED = frozenset({Status.REVOKED, Status.EXPIRED})
ONGOING = frozenset({Status.PENDING, Status.STARTED})


class DeliveryFailed(Exception):
    """The chunk could not be scored or stored; the worker's log says why."""


class TaskFailed(Exception):
    """At least one task of the message has ended as FAILURE. The text quotes no input."""


class WorkerProcess:
    def __init__(
        self, settings: WorkerSettings, store: StoreSettings, broker: BrokerSettings, watch: ModelWatch
    ) -> None:
        """Serve the models that the watch finds."""
        self._settings = settings
        self._watch = watch
        self._store = store
        self._broker = broker
        self._metrics = MetricsFile(TemporaryFile())  # noqa: SIM115 - open as long as this
        self._exporter: WSGIServer | None = None
        self._scoring: ScoringProcess | None = None

    def register(self, app: Celery) -> None:
        """Have Celery call this object in the main process and, after the fork, in each worker process."""
        signals.celeryd_after_setup.connect(_keep_memory_shared, weak=False)
        signals.worker_ready.connect(self._serve_metrics, weak=False)
        signals.worker_shutting_down.connect(self._limit_grace_period, weak=False)
        signals.worker_process_init.connect(self._start, weak=False)
        signals.worker_process_shutdown.connect(self._stop, weak=False)
        ScoringTasks.make = partial(self._make_task, app)
        for queue in self._watch.queues:
            self._make_task(app, queue)

    def _make_task(self, app: Celery, queue: str) -> Task:
        model = queue.removeprefix(QUEUES)

        @app.task(name=queue, bind=True, throws=(TaskFailed,), lazy=False)  # type: ignore[untyped-decorator]
        def score(task: Task, task_ids: list[str]) -> dict[Status, int]:
            return self._deliver(task, model, [UUID(task_id) for task_id in task_ids])

        return score

    def _serve_metrics(self, **_: Any) -> None:
        """Runs in the main process."""
        registry = exporter.registry()
        registry.register(WorkerCollector(self._metrics))
        self._exporter = exporter.serve(registry, exporter.MetricsSettings(), "worker")

    def _limit_grace_period(self, **_: Any) -> None:
        """Have the processes give back the chunks that they have not scored by then. Runs in the main process."""

        def interrupt() -> None:
            for process in billiard.active_children():
                os.kill(process.pid, signal.SIGUSR1)  # interruption.SHUTDOWN

        timer = threading.Timer(self._settings.worker_grace_seconds, interrupt)
        timer.daemon = True
        timer.start()

    def _start(self, **_: Any) -> None:
        """Load the models and say that this process is ready. Runs in the forked process."""
        seconds = self._settings.cache_seconds
        cache = ScoreCache(self._broker.redis, seconds) if seconds else None
        if self._exporter is not None:
            # Or the port would be taken for as long as this process outlives the main one.
            self._exporter.socket.close()
        metrics = ScoringMetrics(self._metrics)
        watch = self._watch
        watch.open_database()
        choose = partial(wanted, chosen=watch.chosen)
        try:
            models = LiveModels(watch.registry, choose, watch.provide, metrics, refused(watch.chosen))
            self._announcer = RedisBroker(self._broker.redis, watch.registry.bounds)
            self._scoring = ScoringProcess(self._settings, self._store, metrics, models, cache, self._announce)
        except Exception:
            # A process without its models must not take messages, and Celery would replace it for ever:
            # stop the worker, so that its supervisor sees it end and its log says why.
            log.exception("model_load_failed")
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(self._settings.lease_seconds)  # until the main process ends this one
            raise

    def _stop(self, **_: Any) -> None:
        if self._scoring is not None:
            self._scoring.stop()

    def _deliver(self, task: Task, model: str, task_ids: Sequence[UUID]) -> dict[Status, int]:
        """Score a message's chunk, and let Celery's state of the message say what became of its tasks.

        PostgreSQL has the inputs and the results. An error that reaches Celery is about this delivery only, and rescue
        publishes its tasks again.
        """
        try:
            states = self._score(model, task_ids)
        except Exception:
            log.exception("delivery_failed", model=model, task_ids=list(map(str, task_ids)))
            raise DeliveryFailed from None  # or Celery's log, and Flower, would show all that the error quotes
        if states is None:
            return {Status.SUCCESS: len(task_ids)}
        return _report(task, states)

    def _score(self, model: str, task_ids: Sequence[UUID]) -> list[TaskState] | None:
        """Score the chunk. Return the states of all its tasks, or None: all are SUCCESS."""
        assert self._scoring is not None  # noqa: S101 - Celery delivers nothing before `_start`
        ended = self._scoring.score(model, task_ids)
        if len(ended.tasks) == len(task_ids) and not ended.failed:
            return None
        return self._scoring.states(task_ids)

    def _announce(self, task_ids: Collection[UUID]) -> None:
        if task_ids:
            try:
                self._announcer.announce(task_ids)
            except AnnounceFailed as error:  # clients that wait look at PostgreSQL when their wait is over
                log.warning("announce_failed", error=str(error))


def _keep_memory_shared(**_: Any) -> None:
    """Leave what there is before the fork alone: the garbage collector would write into each page of it."""
    gc.collect()
    gc.freeze()


def _report(task: Task, states: Sequence[TaskState]) -> dict[Status, int]:
    """End the message as its tasks have ended. Raises TaskFailed if one failed, and Ignore if none was scored.

    Celery has no exception for "revoked" or "will be delivered again", so its own events tell Flower.
    """
    counts = Counter(state.status for state in states)
    if counts[Status.FAILURE]:
        first = next(state for state in states if state.status is Status.FAILURE)
        reason = (first.error or "").partition(":")[0]  # the rest may quote the input
        raise TaskFailed(f"{counts[Status.FAILURE]} of {len(states)} failed; {first.task_id}: {reason}")
    if counts and counts.keys() <= ONGOING | ENDED_UNSCORED:
        # In Flower, only "retried" takes back what an earlier delivery under this id has reported.
        _send_event(task, "task-retried", exception="its tasks have not ended: rescue delivers them again")
        if counts.keys() <= ENDED_UNSCORED:
            _send_event(task, "task-revoked", terminated=False, signum=None, expired=Status.EXPIRED in counts)
        raise Ignore
    return dict(counts)


def _send_event(task: Task, event: str, **fields: Any) -> None:
    try:
        task.send_event(event, retry=False, **fields)
    except Exception as error:  # Redis is away, and only Flower needs the event
        log.warning("event_unsent", celery_event=event, error=repr(error))
