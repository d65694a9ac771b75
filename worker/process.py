"""One process that scores: its models, its connections, its presence. Celery or the pool has started it."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from store import traces
from store.engine import connect
from store.settings import StoreSettings
from telemetry import tracing
from telemetry.tracing import TracingSettings
from worker import residency, scoring
from worker.cache import Cache
from worker.meters import Meters
from worker.presence import Presence
from worker.settings import WorkerSettings
from worker.watched import WatchedEngine


class ScoringProcess:
    def __init__(
        self,
        settings: WorkerSettings,
        store: StoreSettings,
        cache: Cache | None = None,
        meters: Meters | None = None,
    ) -> None:
        """Load the models and say that this process is ready. Not before a fork: see `residency.load`."""
        self._lease = settings.lease
        self._cache = cache
        self._meters = meters
        self._residents = residency.load(settings.models)
        engine = connect(str(store.database_url), ping=False)  # scoring tries again by itself
        self._engine = WatchedEngine(engine, store.database_timeout_seconds)
        tracing.configure(TracingSettings(), "worker")
        if meters:
            meters.ready(self._residents.values())
        versions = residency.versions(self._residents)
        self._presence = Presence(self._engine, versions, settings.lease, meters.live if meters else lambda: None)
        self._presence.start()

    def stop(self) -> None:
        self._presence.stop()
        tracing.stop()

    def score(self, model: str, task_ids: Sequence[UUID]) -> list[UUID]:
        """Score one chunk and return the tasks that have ended."""
        start = time.monotonic()
        holding = partial(self._presence.holding, model)
        resident = self._residents[model]
        with self._meters.busy() if self._meters else nullcontext(), self._traced(model, task_ids):
            ended = scoring.score(self._engine, resident, task_ids, self._lease, holding, self._cache, self._meters)
        if ended:
            inputs = sum(task.n_inputs for task in ended)
            hits = self._cache.hits[model] if self._cache else 0
            if self._meters:
                self._meters.cached(model, hits)
            self._presence.count(model, len(ended), inputs, time.monotonic() - start, hits)
        return [task.claim.task_id for task in ended]

    def _traced(self, model: str, task_ids: Sequence[UUID]) -> AbstractContextManager[Any]:
        if not tracing.on():
            return nullcontext()
        try:
            with self._engine.begin() as connection:
                parents = traces.parents(connection, task_ids)
        except SQLAlchemyError:  # scoring says so, and tries again
            parents = []
        return tracing.joined(f"score {model}", parents, tasks=len(task_ids))
