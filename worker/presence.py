"""A thread that says, while the process lives, that it is ready, and renews the leases of what it works on."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from uuid_utils.compat import uuid7

from store import claims, workers
from store.claims import Claim
from worker.watched import Transactions

log = structlog.get_logger(__name__)

MAX_SILENCE = 1.0
"""Seconds between two signs of life; less when a quarter of the lease is. The autoscaler and Retry-After go by them."""


class Presence:
    """One worker process, as the database sees it."""

    def __init__(
        self, engine: Transactions, versions: Mapping[str, str], lease: timedelta, beat: Callable[[], None]
    ) -> None:
        """`beat` is called at each sign of life."""
        self._engine = engine
        self._beat = beat
        self._loaded = {model: workers.Loaded(version) for model, version in versions.items()}
        self._lease = lease
        self._id = uuid7()
        self._held: tuple[Claim, ...] = ()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Leave the list of living workers. The leases of unfinished tasks run out by themselves."""
        self._stopping.set()
        self._thread.join(timeout=2)
        with self._engine.begin() as connection:
            workers.gone(connection, self._id)

    @contextmanager
    def holding(self, model: str, held: Sequence[Claim]) -> Iterator[None]:
        """Renew the leases of these claims of the model's tasks until the block ends."""
        self._held = tuple(held)
        self._loaded[model].working_since = time.monotonic()
        try:
            yield
        finally:
            self._held = ()
            self._loaded[model].working_since = None

    def count(self, model: str, tasks: int, inputs: int, seconds: float, hits: int) -> None:
        """Note what was done in how many seconds, and the cache's hits so far; told with the next sign of life."""
        self._loaded[model].cache_hits = hits
        self._loaded[model].busy_seconds += seconds
        self._loaded[model].tasks_done += tasks
        self._loaded[model].inputs_done += inputs

    def _run(self) -> None:
        while True:
            try:
                self._beat()
                with self._engine.begin() as connection:
                    workers.seen(connection, self._id, socket.gethostname(), os.getpid(), self._loaded)
                    if held := self._held:
                        claims.renew(connection, held, self._lease)
            except SQLAlchemyError as error:
                log.warning("presence_unsaid", error=str(error))
            except Exception:  # without this thread the process would lose every task that takes longer than a lease
                log.exception("presence_failed")
            if self._stopping.wait(min(MAX_SILENCE, self._lease.total_seconds() / 4)):
                return
