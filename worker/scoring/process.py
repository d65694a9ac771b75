"""One process that scores: its models, its connections, its heartbeat. Celery or the pool has started it."""

import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from uuid_utils.compat import uuid7

from store import claims, outage, traces, transitions, workers
from store.claims import Claim, TaskState
from store.engine import WatchedEngine
from store.settings import StoreSettings
from telemetry import tracing
from telemetry.tracing import TracingSettings
from worker.scoring import chunk
from worker.scoring.live_models import LiveModels
from worker.scoring.metrics import ScoringMetrics
from worker.scoring.score_cache import ScoreCache
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

MAX_INTERVAL = 1.0
"""Seconds between two heartbeats; a quarter of the lease if that is less. The autoscaler and Retry-After go by them."""


class ScoringProcess:
    def __init__(
        self,
        settings: WorkerSettings,
        store: StoreSettings,
        metrics: ScoringMetrics,
        models: LiveModels,
        cache: ScoreCache | None = None,
        announce: Callable[[Collection[UUID]], None] | None = None,
    ) -> None:
        """Load the models and say that this process is ready. Not before a fork: see `loaded_models.load`.

        `announce` tells those who wait which tasks have ended.
        """
        self._announce = announce
        self._lease = settings.lease
        self._cache = cache
        self._metrics = metrics
        self._models = models
        metrics.ready()
        models.load_all()
        # It does not ping: scoring retries by itself.
        self._engine = WatchedEngine(store.database_url, store.database_timeout_seconds, ping=False, keeps_plans=True)
        tracing.configure(TracingSettings(), "worker")
        self._heartbeat = HeartbeatThread(self._engine, models, settings.lease, metrics.measure_process)
        self._heartbeat.start()

    def stop(self) -> None:
        self._heartbeat.stop()
        tracing.stop()

    def score(self, model: str, task_ids: Sequence[UUID]) -> chunk.EndedTasks:
        """Score one chunk and return the tasks that have ended."""
        start = time.monotonic()
        renewing = partial(self._heartbeat.renewing, model)
        with self._metrics.busy(), self._traced(model, task_ids):
            loaded = self._models.live(model)
            choose = partial(self._models.choose, model)
            ended = chunk.score(
                *(self._engine, loaded, task_ids, self._lease, renewing, self._cache, self._metrics, choose),
                announce=self._announce,
            )
            if ended.tasks:
                inputs = sum(task.n_inputs for task in ended.tasks)
                hits = self._cache.hits[model] if self._cache else 0
                self._metrics.cached(model, hits)
                self._heartbeat.record(model, len(ended.tasks), inputs, time.monotonic() - start, hits)
        return ended

    def states(self, task_ids: Sequence[UUID]) -> list[TaskState]:
        """Return the states of these tasks, also of those that others have ended."""
        with self._engine.begin(single=True) as connection:
            return claims.states(connection, task_ids)

    def _traced(self, model: str, task_ids: Sequence[UUID]) -> AbstractContextManager[Any]:
        if not tracing.on():
            return nullcontext()
        try:
            with self._engine.begin() as connection:
                parents = traces.parents(connection, task_ids)
        except SQLAlchemyError:  # scoring logs it and retries
            parents = []
        return tracing.joined(f"score {model}", parents, tasks=len(task_ids))


class HeartbeatThread:
    """A thread that tells PostgreSQL that this process is alive, and renews the leases of the tasks it works on."""

    def __init__(
        self,
        engine: WatchedEngine,
        models: LiveModels,
        lease: timedelta,
        measure: Callable[[], int],
    ) -> None:
        """`measure` returns the resident bytes of this process, at each beat."""
        self._engine = engine
        self._measure = measure
        self._live = models
        self._models: dict[str, workers.WorkerModel] = {}
        self._note_versions()
        self._lease = lease
        self._id = uuid7()
        self._held: tuple[Claim, ...] = ()
        self._unfinished: list[Claim] = []
        """Claims whose results PostgreSQL could not store while it was away: given back without costing an attempt."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take this process off the list of living workers. The leases of unfinished tasks run out by themselves."""
        self._stopping.set()
        self._thread.join(timeout=2)
        with self._engine.begin() as connection:
            workers.remove(connection, self._id)

    @contextmanager
    def renewing(self, model: str, held: Sequence[Claim]) -> Iterator[None]:
        """Renew the leases of these claims of the model's tasks until the block ends."""
        self._held = tuple(held)
        done = self._note(model)
        done.working_since = time.monotonic()
        try:
            yield
        except DBAPIError as error:
            if outage.reason(error) and not outage.is_transient(error):
                self._unfinished += held
            raise
        finally:
            self._held = ()
            done.working_since = None

    def record(self, model: str, tasks: int, inputs: int, seconds: float, hits: int) -> None:
        """Add work to what the next heartbeat reports; `hits` of the cache are all so far."""
        done = self._note(model)
        done.cache_hits = hits
        done.busy_seconds += seconds
        done.tasks_done += tasks
        done.inputs_done += inputs

    def _run(self) -> None:
        while True:
            try:
                self._beat()
            except SQLAlchemyError as error:
                log.warning("heartbeat_failed", error=str(error))
            except Exception:  # without this thread the process would lose every task that takes longer than a lease
                log.exception("heartbeat_failed")
            if self._stopping.wait(min(MAX_INTERVAL, self._lease.total_seconds() / 4)):
                return

    def _note_versions(self) -> list[str]:
        """Note which versions are loaded, and return the models that no longer are."""
        versions = self._live.versions
        for model, version in versions.items():
            self._note(model).version = version
        gone = [model for model, state in self._models.items() if model not in versions and not state.working_since]
        for model in gone:
            del self._models[model]
        return gone

    def _note(self, model: str) -> workers.WorkerModel:
        """Return what is told of a model; one may have been loaded since the latest heartbeat."""
        return self._models.setdefault(model, workers.WorkerModel(self._live.versions.get(model, "")))

    def _beat(self) -> None:
        resident = self._measure()
        gone = self._note_versions()
        with self._engine.begin() as connection:
            workers.heartbeat(connection, self._id, socket.gethostname(), os.getpid(), resident, dict(self._models))
            if gone:
                workers.remove(connection, self._id, gone)
            if unloaded := dict(self._live.unloaded):
                workers.report_unloaded(connection, socket.gethostname(), unloaded)
            self._live.follow(connection)
            if held := self._held:
                transitions.renew(connection, held, self._lease)
            unfinished = list(self._unfinished)
            if unfinished:
                transitions.give_back(connection, unfinished)
        del self._unfinished[: len(unfinished)]
