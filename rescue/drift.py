"""What Prometheus is told of drift: what `millrace drift` has kept of the live versions' last day."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import Row
from sqlalchemy.exc import DBAPIError

from evaluation.drift import NOTABLE
from registry.versions import Registry
from store import drift
from store.engine import WatchedEngine
from store.limits import limit_time
from store.old_days import DAY, midnight

log = structlog.get_logger(__name__)

LONG = 5.0
"""Seconds that the query may take."""

MOST = 200
"""Comparisons of a version that are told, what has drifted first: a model may have a thousand columns."""

RECENT = 3 * DAY
"""Since the end of the day. What is older says nothing of today, and is no longer told."""

LabelValues = tuple[str, ...]
LABELS = ["model", "version", "column", "against"]


class DriftMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._found = Gauge(
            "millrace_drift_found",
            "Whether a column of the last day that was compared has drifted",
            LABELS,
            registry=registry,
        )
        self._ratio = Gauge(
            "millrace_drift_ratio",
            "Population stability index, over the index from which on the column has drifted",
            LABELS,
            registry=registry,
        )
        self._compared_until = Gauge(
            "millrace_drift_compared_until_timestamp_seconds",
            "When the last day ended that was compared",
            ["model"],
            registry=registry,
        )
        self._told: defaultdict[Gauge, set[LabelValues]] = defaultdict(set)

    def refresh(self, engine: WatchedEngine, registry: Registry) -> None:
        """Tell what is kept now, and no longer what is not."""
        live = [(one.model, one.version) for one in registry.live.values()]
        try:
            with engine.begin() as connection:
                limit_time(connection, LONG)
                rows = drift.last(connection, live, MOST)
        except DBAPIError as error:
            log.warning("drift_unknown", error=str(error))
            return
        self._tell(rows)

    def _tell(self, rows: Iterable[Row[Any]]) -> None:
        told: dict[Gauge, dict[LabelValues, float]] = {self._found: {}, self._ratio: {}, self._compared_until: {}}
        for row in rows:
            ended = midnight(row.day + DAY)
            told[self._compared_until][(row.model,)] = ended.timestamp()
            if row.found is not None and datetime.now(UTC) - ended < RECENT:
                labels = (row.model, row.version, row.column_name, row.against)
                told[self._found][labels] = row.found
                told[self._ratio][labels] = row.psi / max(row.band, NOTABLE)
        for gauge, values in told.items():
            for gone in self._told[gauge] - values.keys():
                gauge.remove(*gone)
            for key, value in values.items():
                gauge.labels(*key).set(value)
            self._told[gauge] = set(values)
