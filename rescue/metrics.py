"""What rescue counts of its rounds, and what it looks up for Prometheus about the platform as a whole."""

import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import text

from registry.versions import Registry
from rescue.drift import DriftMetrics
from store.engine import WatchedEngine
from store.limits import limit_time

KINDS = ("taken_back", "worker_lost", "expired", "republished", "promoted", "unserved")

LONG = 5.0
"""Seconds that the query may take."""

EVERY = 60.0
"""Seconds between two refreshes of what changes slowly."""


class RescueMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._rescues = Counter(
            "millrace_rescues",
            "Tasks that rescue took from a silent worker, failed after their last attempt, expired, gave a new "
            "message, or published before others because they starved",
            ["kind"],
            registry=registry,
        )
        for kind in KINDS:
            self._rescues.labels(kind)
        self._last = Gauge(
            "millrace_rescue_last_round_timestamp_seconds",
            "When rescue last came round",
            registry=registry,
        )
        self._bytes = Gauge("millrace_database_bytes", "Size of the database", registry=registry)
        self._drift = DriftMetrics(registry)
        self._refreshed_at = -EVERY

    def count(self, **tasks: Sequence[object]) -> None:
        """Count a round's tasks by kind."""
        for kind, found in tasks.items():
            self._rescues.labels(kind).inc(len(found))

    def round_over(self) -> None:
        """Note that a round is over, whether this program worked in it or another one."""
        self._last.set_to_current_time()

    def refresh(self, engine: WatchedEngine, registry: Registry) -> None:
        """Look up what changes slowly, if it is time."""
        if time.monotonic() - self._refreshed_at < EVERY:
            return
        self._refreshed_at = time.monotonic()
        with engine.begin() as connection:
            limit_time(connection, LONG)
            self._bytes.set(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)
        self._drift.refresh(engine, registry)
