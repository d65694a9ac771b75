"""Lets rescue empty old texts between its rounds, a little at a time, by the setting TEXT_RETENTION_DAYS."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from time import monotonic

import structlog
from sqlalchemy import MetaData

from models.contract import Spec
from store import retention
from store.predictions import predictions_table
from worker.watched import Transactions

log = structlog.get_logger(__name__)

TURN = 1.0
"""Seconds that it takes of rescue's time at once: lost tasks come first."""


def personal(specs: Mapping[str, Spec]) -> retention.Personal:
    """Return what is to be emptied of each model that says so."""
    metadata = MetaData()
    return {
        spec.name: (predictions_table(spec.table, spec.stored_columns, metadata), spec.personal)
        for spec in specs.values()
        if spec.personal
    }


class Retention:
    def __init__(self, engine: Transactions, age: timedelta, what: retention.Personal) -> None:
        self._engine = engine
        self._age = age
        self._what = what
        self._done: datetime | None = None
        """Up to this time all is empty; None: not known, so it begins with the oldest task."""

    def turn(self) -> int:
        """Empty what has become too old, for a second at most; the next turn goes on. Return how many rows."""
        start, redacted = monotonic(), 0
        with self._engine.begin() as connection:
            before = retention.until(connection, self._age)
            since = self._done or retention.begin(connection)
        for done, rows in retention.sweep(self._engine, self._what, since, before) if since else ():
            self._done, redacted = done, redacted + rows
            if monotonic() - start > TURN:
                break
        if redacted:
            log.info("texts_redacted", rows=redacted, older_than=str(self._age))
        return redacted
