"""What rescue counts of its rounds, and what it looks up for Prometheus about the platform as a whole."""

import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import Connection, text

KINDS = ("taken_back", "worker_lost", "expired", "republished", "promoted")

EVERY = 60.0
"""Seconds between two looks at what changes slowly."""


class Rounds:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._rescues = Counter(
            "millrace_rescues",
            "Tasks that rescue took from a silent worker, failed after their last attempt, expired, gave a new "
            "message, or made high because they starved",
            ["kind"],
            registry=registry,
        )
        for kind in KINDS:
            self._rescues.labels(kind)
        self._last = Gauge(
            "millrace_rescue_last_round_timestamp_seconds", "When rescue last came round", registry=registry
        )
        self._bytes = Gauge("millrace_database_bytes", "Size of the database", registry=registry)
        self._looked_at = -EVERY

    def note(self, **tasks: Sequence[object]) -> None:
        """Count a round's tasks by kind."""
        for kind, found in tasks.items():
            self._rescues.labels(kind).inc(len(found))

    def over(self) -> None:
        """Say that a round is over, whether this program worked in it or another one."""
        self._last.set_to_current_time()

    def look(self, connection: Connection) -> None:
        """Look up what changes slowly, if it is time."""
        if time.monotonic() - self._looked_at >= EVERY:
            self._looked_at = time.monotonic()
            self._bytes.set(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)
