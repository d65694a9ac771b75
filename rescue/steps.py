"""Does the statements of rescue one by one, each in short transactions of its own.

None can undo another, or hold it up: one that fails is tried again in the next round, with fewer rows.
"""

from collections.abc import Callable, Iterator, Sized
from time import monotonic
from typing import TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from store import outage
from store.engine import WatchedEngine
from store.limits import limit_time, try_lock

log = structlog.get_logger(__name__)

Found = TypeVar("Found", bound=Sized)

LOCK = 0x6D696C6C7261  # any number that nobody else uses: "millra"

ROWS = 1_000
"""Rows in one transaction, at most."""

MOST = 10_000
"""Rows of one statement in one round. What is left waits for the next."""

LONG = 5.0
"""Seconds that one statement may be repeated for in one round, so that the others have their turn."""


class Steps:
    def __init__(self, engine: WatchedEngine, seconds: float) -> None:
        """Let each statement take so many seconds."""
        self._engine = engine
        self._seconds = seconds
        self._rows: dict[str, int] = {}

    def do(self, name: str, statement: Callable[[Connection, int], Found]) -> Iterator[Found]:
        """Yield what `statement` found, after each commit, as long as it finds as many rows as it may.

        Nothing is done where another program is at it. Raises DBAPIError when PostgreSQL is away.
        """
        begun, done = monotonic(), 0
        while done < MOST and monotonic() - begun < LONG:
            rows = self._rows.get(name, ROWS)
            try:
                with self._engine.begin() as connection:
                    if not try_lock(connection, LOCK):
                        return
                    limit_time(connection, self._seconds)
                    found = statement(connection, rows)
            except DBAPIError as error:
                if outage.reason(error) is not None and not outage.is_transient(error):
                    raise
                self._rows[name] = max(1, rows // 4)
                log.warning("rescue_step_failed", step=name, rows=rows, error=str(error))
                return
            self._rows[name] = min(ROWS, rows * 2)
            yield found
            done += len(found)
            if len(found) < rows:
                return
