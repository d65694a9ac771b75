"""Lets rescue empty old texts between its rounds, a little at a time, by the setting TEXT_RETENTION_DAYS."""

from datetime import datetime, timedelta
from time import monotonic

import structlog

from registry.versions import Registry, personal_columns
from store import retention

log = structlog.get_logger(__name__)

TURN = 1.0
"""Seconds that it takes of rescue's time at once: lost tasks come first."""


class Retention:
    def __init__(self, begin: retention.Begin, age: timedelta, registry: Registry, seconds: float = 5) -> None:
        """Let each statement take so many seconds."""
        self._begin = begin
        self._slice = retention.Slice(seconds)
        self._age = age
        self._registry = registry
        self._what: tuple[int, retention.PersonalColumns] = (-1, {})
        self._done: datetime | None = None
        """Up to this time all is empty; None: not known, so it begins with the oldest task."""

    def turn(self) -> int:
        """Empty what has become too old, for a second at most; the next turn goes on. Return how many rows."""
        start, redacted = monotonic(), 0
        if self._what[0] != self._registry.revision:
            self._what = (self._registry.revision, personal_columns(self._registry))
        with self._begin() as connection:
            before = retention.cutoff(connection, self._age)
            since = self._done or retention.oldest(connection)
        for done, rows in retention.redact(self._begin, self._what[1], since, before, self._slice) if since else ():
            self._done, redacted = done, redacted + rows
            if monotonic() - start > TURN:
                break
        if redacted:
            log.info("texts_redacted", rows=redacted, older_than=str(self._age))
        return redacted
