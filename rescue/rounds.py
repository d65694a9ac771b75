"""Brings back what was lost: tasks whose worker fell silent, tasks whose message is gone, tasks out of time.

Any number of these may run; an advisory lock lets one at a time work. A statement that fails is logged, and holds up no
other.
"""

import threading
from collections.abc import Callable, Collection
from datetime import timedelta
from math import inf
from time import monotonic
from uuid import UUID

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from broker.broker import AnnounceFailed, Sender
from broker.message import MAX_TASKS
from registry.versions import Registry
from rescue.jobs import Jobs
from rescue.metrics import RescueMetrics
from rescue.queues import Queue, Queues
from rescue.retention import Retention
from rescue.settings import RescueSettings
from rescue.starvation import Starvation
from rescue.steps import Steps
from store import rescue_rounds, submissions, transitions, waiting, workers
from store.claims import WaitingTask
from store.engine import WatchedEngine
from store.outage import sqlstate
from store.states import Status
from telemetry.heartbeat import beat

log = structlog.get_logger(__name__)

PROMOTED = MAX_TASKS
"""Tasks that one round publishes before others because they starve: one chunk, which hardly delays what is urgent."""

UNSERVED = timedelta(minutes=1)
"""How long a task waits for a model that nobody knows: in an upgrade, its worker may be yet to come."""

RETIRED = timedelta(seconds=5)
"""How long a task waits for a model that was retired: a handler that has not heard of it may accept one meanwhile."""

LATE = timedelta(seconds=5)
"""Longer than two intervals and this between two notes of rescue, and PostgreSQL was away, or rescue itself was."""


class Rescue:
    def __init__(
        self,
        engine: WatchedEngine,
        sender: Sender,
        settings: RescueSettings,
        metrics: RescueMetrics,
        registry: Registry,
    ) -> None:
        self._engine = engine
        self._registry = registry
        self._sender = sender
        self._settings = settings
        self._metrics = metrics
        self._steps = Steps(engine, engine.seconds / 4)
        self._patience = timedelta(seconds=settings.republish_after_seconds)
        self._starving = timedelta(seconds=settings.starving_after_seconds)
        self._queues = Queues(sender, registry)
        self._jobs = Jobs(self._steps, lambda tasks: self._queues.publish(tasks, alone=False), self._announce)
        self._starvation = Starvation(settings.starving_after_seconds)
        self._gap = 2 * timedelta(seconds=settings.rescue_interval_seconds) + LATE
        self._away = False
        self._noted_at = -inf
        self._keys_live = timedelta(hours=settings.idempotency_hours)

        self._retention = None
        if settings.text_retention_days:
            age = timedelta(days=settings.text_retention_days)
            self._retention = Retention(engine.begin, age, registry, engine.seconds / 4)

    def run(self, stopping: threading.Event) -> None:
        """Do one round after another until `stopping` is set."""
        while True:
            beat("rescue")
            self._guarded(self.turn)
            if stopping.wait(self._settings.rescue_interval_seconds):
                return

    def turn(self) -> None:
        """Do a round, and what is due beside it: retention, and what is looked up for Prometheus."""
        try:
            self._look_at_models()
            self.round()
            self._metrics.round_over()
        finally:
            self._guarded(self._jobs.turn)
            if self._retention is not None:
                self._guarded(self._retention.turn)
            self._guarded(lambda: self._metrics.refresh(self._engine, self._registry))
            self._guarded(self._note)

    def _look_at_models(self) -> None:
        with self._engine.begin(single=True) as connection:
            self._registry.refresh(connection)

    def _note(self) -> None:
        """Say that rescue reaches PostgreSQL, about once a second: a long round is no outage."""
        if monotonic() - self._noted_at < 1:
            return
        with self._engine.begin(single=True) as connection:
            rescue_rounds.note(connection, gap=self._gap, away=self._away)
        self._away = False
        self._noted_at = monotonic()

    def _guarded(self, part: Callable[[], object]) -> None:
        """Do a part; its failure must not be the end of the others, nor of the next round: nobody else does this."""
        try:
            part()
        except SQLAlchemyError as error:
            log.warning("rescue_interrupted", error=str(error))
            if isinstance(error, DBAPIError) and (error.connection_invalidated or sqlstate(error) is None):
                self._away = True
        except Exception:
            log.exception("rescue_round_failed")

    def round(self) -> None:
        """Expire, take back, republish, promote, forget: each commits by itself, before its messages go out."""
        self._note()
        self._queues.look()
        self._expire()
        self._take_back()
        for queue in self._queues.names:
            self._note()
            self._republish(queue)
        for model, priority in self._starvation.starving(self._queues.following):
            self._note()
            self._promote(model, priority)
        self._fail_unserved()
        for _ in self._steps.do("forget_keys", self._forget_keys):
            pass
        for _ in self._steps.do("forget_dead", lambda connection, _: range(workers.forget_dead(connection))):
            break

    def _expire(self) -> None:
        for expired in self._steps.do("expire", lambda connection, rows: transitions.expire(connection, limit=rows)):
            self._metrics.count(expired=expired)
            self._announce(expired)

    def _take_back(self) -> None:
        def step(connection: Connection, rows: int) -> dict[WaitingTask, Status]:
            return transitions.take_back(connection, attempts=self._settings.max_attempts, limit=rows)

        for found in self._steps.do("take_back", step):
            taken_back = [task for task, status in found.items() if status is Status.PENDING]
            failed = [task.task_id for task, status in found.items() if status is Status.FAILURE]
            self._metrics.count(taken_back=taken_back, worker_lost=failed)
            self._log(taken_back, failed)
            # A task that was taken back goes alone: if it kills its worker, it takes no other with it.
            self._queues.publish(taken_back, alone=True)
            self._announce(failed)

    def _republish(self, queue: Queue) -> None:
        model, priority = queue

        def step(connection: Connection, rows: int) -> list[WaitingTask]:
            return waiting.republish(
                connection,
                *queue,
                emptied=self._queues.emptied(queue),
                following=self._queues.next_tasks(queue),
                patience=self._patience,
                limit=rows,
            )

        for lost in self._steps.do(f"republish {model} {priority}", step):
            self._metrics.count(republished=lost)
            if lost:
                log.warning("tasks_republished", tasks=len(lost), model=model)
            self._queues.publish(lost, alone=False)

    def _promote(self, model: str, priority: int) -> None:
        """Publish a chunk of a priority that starves before all others, unless the last one still waits."""
        queue = (model, priority)
        inputs, _ = self._registry.bounds(model)

        def step(connection: Connection, rows: int) -> list[WaitingTask]:
            return waiting.starving(
                connection,
                *queue,
                patience=self._starving,
                limit=min(rows, PROMOTED),
                inputs=inputs,
                before=self._starvation.promoted(queue),
            )

        for promoted in self._steps.do(f"promote {model} {priority}", step):
            if promoted:
                self._metrics.count(promoted=promoted)
                self._starvation.note(queue, [task.task_id for task in promoted])
                self._queues.publish(promoted, alone=False, in_front=True)
            break

    def _fail_unserved(self) -> None:
        """End what waits for a model that was retired, or that nobody knows, and that no worker has."""
        with self._engine.begin(single=True) as connection:
            models = waiting.models_without_worker(connection, alive=workers.ALIVE)
        for model in models:
            if self._registry.is_served(model):
                continue
            patience = RETIRED if self._registry.is_retired(model) else UNSERVED

            def step(
                connection: Connection, rows: int, model: str = model, patience: timedelta = patience
            ) -> list[UUID]:
                return transitions.fail_unserved(connection, model, patience=patience, limit=rows)

            for failed in self._steps.do(f"fail_unserved {model}", step):
                if failed:
                    self._metrics.count(unserved=failed)
                    log.error("tasks_failed", tasks=len(failed), model=model, reason="the model is no longer served")
                    self._announce(failed)

    def _forget_keys(self, connection: Connection, rows: int) -> list[UUID]:
        return submissions.forget_keys(connection, older_than=self._keys_live, limit=rows)

    def _log(self, taken_back: list[WaitingTask], failed: list[UUID]) -> None:
        for task in taken_back:
            log.warning("task_taken_back", task_id=str(task.task_id), model=task.model)
        for task_id in failed:
            log.error("task_failed", task_id=str(task_id), reason="its worker was lost too often")

    def _announce(self, task_ids: Collection[UUID]) -> None:
        try:
            if task_ids:
                self._sender.announce(task_ids)
        except AnnounceFailed as error:
            log.warning("announce_failed", error=str(error))
