"""An autoscaler for Celery that follows the load in PostgreSQL, so that it grows before the backlog does.

Celery's own follows the messages that this worker holds. There are as many as processes, so it grows when all processes
are busy and shrinks when one is idle.
"""

import socket
import threading
from contextlib import suppress
from typing import Any

import structlog
from celery.worker import autoscale
from sqlalchemy.exc import SQLAlchemyError

from registry.versions import Registry
from store import load
from store.engine import connect, connect_within
from store.settings import StoreSettings
from worker.celery.sizing import Observation, Sizing
from worker.scoring.wanted import wanted
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

INTERVAL = 1.0
"""Seconds between two observations of the load."""

CLASS = f"{__name__}:Autoscaler"


class Autoscaler(autoscale.Autoscaler):  # type: ignore[misc]
    """Celery makes one in the worker's main process. Its event loop calls `maybe_scale`, which must not block."""

    def __init__(self, pool: Any, max_concurrency: int, min_concurrency: int = 1, **options: Any) -> None:
        super().__init__(pool, max_concurrency, min_concurrency, **{**options, "keepalive": INTERVAL})
        settings = WorkerSettings()
        self._chosen = settings.chosen
        self._registry = Registry()
        self._sizing = Sizing(
            min_concurrency,
            max_concurrency,
            window=settings.autoscale_window_seconds,
            lead=settings.autoscale_lead_seconds,
            clear=settings.autoscale_clear_seconds,
            quiet=settings.autoscale_quiet_seconds,
        )
        self._observed: load.ModelLoad | None = None
        store = StoreSettings()
        self._engine = connect(store.database_url, pool_size=1, ping=False)
        self._timeout = store.database_timeout_seconds
        threading.Thread(target=self._observe, name="observe load", daemon=True).start()

    def _observe(self) -> None:
        """Observe the load every second. While PostgreSQL is away, the number of processes stays."""
        while True:
            try:
                with connect_within(self._engine, self._timeout) as connection:
                    self._registry.refresh(connection)
                    models = list(wanted(self._registry, self._chosen))
                    self._observed = load.observe(connection, models, socket.gethostname())
            except SQLAlchemyError as error:
                log.warning("load_unknown", error=str(error))
            threading.Event().wait(INTERVAL)

    def maybe_scale(self, req: Any = None) -> None:
        observed, self._observed = self._observed, None
        if observed is None:
            return
        running = self.processes
        share = observed.hosts or 1  # each worker takes an equal part of the load
        now = Observation(
            observed.at,
            observed.arrived // share,
            observed.waiting // share,
            observed.done // share,
            observed.busy_seconds / share,
        )
        target = self._sizing.target(now, running)
        if target > running:
            self.pool.grow(target - running)
        elif target < running and observed.ready_here >= running:
            with suppress(ValueError):  # all processes are busy
                self.pool.shrink(running - target)
        if self.processes != running:
            log.info("pool_resized", processes=self.processes, before=running, waiting=observed.waiting)
        self.pool.maintain_pool()
