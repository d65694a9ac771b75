"""What a worker process does when Celery has forked it, and before it ends."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID
from wsgiref.simple_server import WSGIServer

import billiard
import billiard.pool
import redis
import structlog
from celery import signals

from broker.finished import Announcer
from broker.settings import BrokerSettings
from store.settings import StoreSettings
from telemetry import exporter
from worker import folders
from worker.cache import Cache
from worker.meters import Meters
from worker.process import ScoringProcess
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

LAST_WORDS = 20
"""Tenths of a second that a stopping process waits for its parent to read its last result. Celery's 30 s are longer
than a stop may take, and nothing hangs on it: a message not acknowledged claims nothing when it comes again."""


class WorkerProcess:
    """What Celery's signals and deliveries reach in one worker process."""

    def __init__(self, settings: WorkerSettings, store: StoreSettings, broker: BrokerSettings) -> None:
        self._settings = settings
        self._store = store
        self._broker = broker
        self._counts = folders.new()
        self._exported: WSGIServer | None = None

    def connect_signals(self) -> None:
        billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = LAST_WORDS
        signals.worker_process_init.connect(self.start, weak=False)
        signals.worker_ready.connect(self._serve_metrics, weak=False)
        signals.worker_process_shutdown.connect(self.stop, weak=False)
        signals.worker_shutting_down.connect(self._bound_the_stop, weak=False)

    def _serve_metrics(self, **_: Any) -> None:
        registry = exporter.registry()
        folders.AddedUp(self._counts, registry)
        self._exported = exporter.serve(registry, exporter.MetricsSettings(), "worker")

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
        seconds = self._settings.cache_seconds
        cache = Cache(self._broker.redis, seconds) if seconds else None
        if self._exported is not None:
            # Or the port would be taken for as long as this process outlives the main one.
            self._exported.socket.close()
        meters = Meters(self._counts)
        try:
            self._process = ScoringProcess(self._settings, self._store, cache, meters)
        except Exception:
            # A process without its models must not take messages, and Celery would replace it for ever:
            # stop the worker, so that whoever supervises it sees it end and reads why.
            log.exception("model_load_failed")
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(self._settings.lease_seconds)  # until the parent ends this process
            raise
        self._announcer = Announcer(self._broker.redis)

    def stop(self, **_: Any) -> None:
        if hasattr(self, "_process"):
            self._process.stop()

    def score(self, model: str, task_ids: Sequence[UUID]) -> None:
        """Score one chunk and tell whoever waits for it."""
        if ended := self._process.score(model, task_ids):
            try:
                self._announcer.announce(ended)
            except redis.RedisError as error:  # they will read it when their wait is over
                log.warning("announce_failed", error=str(error))
