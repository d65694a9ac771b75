"""Ends a process whose transaction hangs, so that its supervisor replaces it and rescue brings back its tasks.

psycopg2 waits for an answer for as long as the connection seems to live, and nothing in Python interrupts it: behind
a proxy or a firewall that has forgotten the connection, that is for ever.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import Protocol

import structlog
from sqlalchemy import Connection, Engine

log = structlog.get_logger(__name__)

STUCK = 75
"""Exit status: EX_TEMPFAIL of sysexits.h."""


class Transactions(Protocol):
    """What opens transactions."""

    def begin(self, *, single: bool = False) -> AbstractContextManager[Connection]:
        """Open a transaction. A `single` statement is one by itself, in one round trip: no BEGIN, no COMMIT."""


class WatchedEngine:
    def __init__(self, engine: Engine, seconds: float) -> None:
        """Give every transaction so many seconds; one that takes longer ends the process."""
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._seconds = seconds
        self._begun: dict[object, float] = {}
        threading.Thread(target=self._watch, name="watch transactions", daemon=True).start()

    @contextmanager
    def begin(self, *, single: bool = False) -> Iterator[Connection]:
        transaction = object()
        self._begun[transaction] = monotonic()
        try:
            with (self._single if single else self._engine).begin() as connection:
                yield connection
        finally:
            del self._begun[transaction]

    def _watch(self) -> None:
        wait = threading.Event().wait
        while not wait(min(1, self._seconds / 4)):
            if any(monotonic() - begun > self._seconds for begun in list(self._begun.values())):
                log.critical("transaction_hangs", seconds=self._seconds, meaning="this process ends, to be replaced")
                os._exit(STUCK)
