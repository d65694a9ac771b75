"""Celery's autoscaler, replaced by one that looks at the load: it grows before the backlog does.

Celery's own looks at the messages that this worker holds, which are as many as it has processes, so it grows when all
are busy, and shrinks when one is not.
"""

import socket
import threading
from typing import Any

import structlog
from celery.worker import autoscale
from sqlalchemy.exc import SQLAlchemyError

from store import load
from store.engine import connect
from store.settings import StoreSettings
from worker.settings import WorkerSettings
from worker.sizing import Observation, Sizing

log = structlog.get_logger(__name__)

EVERY = 1.0
"""Seconds between two looks."""

CLASS = f"{__name__}:Autoscaler"


class Autoscaler(autoscale.Autoscaler):  # type: ignore[misc]
    """Celery makes one in the worker's main process; its event loop calls `maybe_scale`, which must not block."""

    def __init__(self, pool: Any, max_concurrency: int, min_concurrency: int = 1, **options: Any) -> None:
        super().__init__(pool, max_concurrency, min_concurrency, **{**options, "keepalive": EVERY})
        settings = WorkerSettings()
        self._models = settings.models
        self._sizing = Sizing(
            min_concurrency,
            max_concurrency,
            window=settings.autoscale_window_seconds,
            lead=settings.autoscale_lead_seconds,
            clear=settings.autoscale_clear_seconds,
            quiet=settings.autoscale_quiet_seconds,
        )
        self._observed: load.Load | None = None
        self._engine = connect(str(StoreSettings().database_url), pool_size=1)
        threading.Thread(target=self._observe, name="observe the load", daemon=True).start()

    def _observe(self) -> None:
        """Look at the database again and again; while it is away, the size stays."""
        while True:
            try:
                with self._engine.begin() as connection:
                    self._observed = load.observe(connection, self._models, socket.gethostname())
            except SQLAlchemyError as error:
                log.warning("load_unknown", error=str(error))
            threading.Event().wait(EVERY)

    def maybe_scale(self, req: Any = None) -> None:
        observed, self._observed = self._observed, None
        if observed is None:
            return
        here = self.processes
        share = observed.hosts or 1  # each worker takes its part of the load
        now = Observation(
            observed.at,
            observed.arrived // share,
            observed.waiting // share,
            observed.done // share,
            observed.busy_seconds / share,
        )
        wanted = self._sizing.size(now, here)
        if wanted != here:
            log.info("pool_resized", processes=wanted, before=here, waiting=observed.waiting)
        if wanted > here:
            self._grow(wanted - here)
        elif wanted < here and observed.ready_here >= here:
            self._shrink(here - wanted)
        self.pool.maintain_pool()
