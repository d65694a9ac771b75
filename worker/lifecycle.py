"""What a worker process does when Celery has forked it, and before it ends."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any
from uuid import UUID

import billiard
import billiard.pool
import redis
import structlog
from celery import signals
from sqlalchemy.exc import SQLAlchemyError

from broker.finished import Announcer
from broker.settings import BrokerSettings
from store import traces
from store.engine import connect
from store.settings import StoreSettings
from telemetry import tracing
from telemetry.exporter import MetricsSettings
from telemetry.tracing import TracingSettings
from worker import residency, scoring
from worker.cache import Cache
from worker.meters import Meters
from worker.presence import Presence
from worker.settings import WorkerSettings
from worker.watched import WatchedEngine

log = structlog.get_logger(__name__)

LAST_WORDS = 20
"""Tenths of a second that a stopping process waits for its parent to read its last result. Celery's 30 s are longer
than a stop may take, and nothing hangs on it: a message not acknowledged claims nothing when it comes again."""


class WorkerProcess:
    """The state of one worker process: its models, its connections, its presence."""

    def __init__(self, settings: WorkerSettings, store: StoreSettings, broker: BrokerSettings) -> None:
        self._settings = settings
        self._store = store
        self._broker = broker
        self._meters = Meters()

    def connect_signals(self) -> None:
        billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = LAST_WORDS
        signals.worker_process_init.connect(self.start, weak=False)
        signals.worker_ready.connect(self._serve_metrics, weak=False)
        signals.worker_process_shutdown.connect(self.stop, weak=False)
        signals.worker_shutting_down.connect(self._bound_the_stop, weak=False)

    def _serve_metrics(self, **_: Any) -> None:
        self._meters.serve(MetricsSettings())

    def _bound_the_stop(self, **_: Any) -> None:
        """Have the processes give back what they have not scored when the grace is over. Runs in the parent."""

        def interrupt() -> None:
            for process in billiard.active_children():
                os.kill(process.pid, signal.SIGUSR1)  # Celery's soft time limit comes by the same signal

        timer = threading.Timer(self._settings.worker_grace_seconds, interrupt)
        timer.daemon = True
        timer.start()

    def start(self, **_: Any) -> None:
        """Load the models and say that this process is ready. Runs in the forked child."""
        try:
            self._residents = residency.load(self._settings.models)
        except Exception:
            # A process without its models must not take messages, and Celery would replace it for ever:
            # stop the worker, so that whoever supervises it sees it end and reads why.
            log.exception("model_load_failed")
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(self._settings.lease_seconds)  # until the parent ends this process
            raise
        engine = connect(str(self._store.database_url), ping=False)  # scoring tries again by itself
        self._engine = WatchedEngine(engine, self._store.database_timeout_seconds)
        seconds = self._settings.cache_seconds
        self._cache = Cache(str(self._broker.redis_url), seconds) if seconds else None
        self._announcer = Announcer(str(self._broker.redis_url))
        tracing.configure(TracingSettings(), "worker")
        versions = residency.versions(self._residents)
        self._meters.enter(billiard.current_process().index, list(self._residents.values()))
        self._presence = Presence(self._engine, versions, self._settings.lease, self._meters.live)
        self._presence.start()

    def stop(self, **_: Any) -> None:
        if hasattr(self, "_presence"):
            self._meters.leave()
            self._presence.stop()
        tracing.stop()

    def _traced(self, model: str, task_ids: Sequence[UUID]) -> AbstractContextManager[Any]:
        if not tracing.on():
            return nullcontext()
        try:
            with self._engine.begin() as connection:
                parents = traces.parents(connection, task_ids)
        except SQLAlchemyError:  # scoring says so, and tries again
            parents = []
        return tracing.joined(f"score {model}", parents, tasks=len(task_ids))

    def score(self, model: str, task_ids: Sequence[UUID]) -> None:
        """Score one chunk and tell whoever waits for it."""
        start = time.monotonic()
        holding = partial(self._presence.holding, model)
        resident, lease = self._residents[model], self._settings.lease
        with self._meters.busy(), self._traced(model, task_ids):
            ended = scoring.score(self._engine, resident, task_ids, lease, holding, self._cache, self._meters)
        if ended:
            inputs = sum(task.n_inputs for task in ended)
            hits = self._cache.hits[model] if self._cache else 0
            self._meters.cached(model, hits)
            self._presence.count(model, len(ended), inputs, time.monotonic() - start, hits)
            try:
                self._announcer.announce(task.claim.task_id for task in ended)
            except redis.RedisError as error:  # they will read it when their wait is over
                log.warning("announce_failed", error=str(error))
