"""What rescue counts of its rounds, and what it looks up for Prometheus about the platform as a whole."""

import time
from collections.abc import Sequence

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from registry.versions import ModelVersion, NoSpec, Registry, predictions_of
from serving import drift
from store.drift import histogram
from store.engine import WatchedEngine
from store.limits import limit_time

KINDS = ("taken_back", "worker_lost", "expired", "republished", "promoted", "unserved")

log = structlog.get_logger(__name__)

LONG = 5.0
"""Seconds that a query may take."""

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
        self._drift = Gauge(
            "millrace_score_drift_index",
            "Population stability index of the latest scores against those of the held-out rows",
            ["model", "version"],
            registry=registry,
        )
        self._compared: set[tuple[str, str]] = set()
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
        indexes = dict(filter(None, (_drift_of(engine, version) for version in registry.live.values())))
        for version in self._compared - indexes.keys():  # it is no longer served
            self._drift.remove(*version)
        for version, index in indexes.items():
            self._drift.labels(*version).set(index)
        self._compared = set(indexes)


def _drift_of(engine: WatchedEngine, version: ModelVersion) -> tuple[tuple[str, str], float] | None:
    """Compare, in a transaction of its own: one model's table that is slow or locked hides no other's drift."""
    try:
        with engine.begin() as connection:
            limit_time(connection, LONG)
            return _compare(connection, version)
    except DBAPIError as error:
        log.warning("drift_unknown", model=version.model, error=str(error))
        return None


def _compare(connection: Connection, version: ModelVersion) -> tuple[tuple[str, str], float] | None:
    """Compare the latest scores of the version with those that its evaluation holds, where it does."""
    held_out = version.evaluation.get("scores")
    try:
        spec = version.spec
    except NoSpec:
        return None
    if spec.score is None or held_out is None:
        return None
    counts = histogram(connection, predictions_of(spec), spec.score, version.version, held_out["edges"])
    index = drift.index(held_out["shares"], counts)
    return None if index is None else ((version.model, version.version), index)
