"""What rescue counts of its rounds, and what it looks up for Prometheus about the platform as a whole."""

import math
import time
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import Connection, MetaData, text

from models import artifact, catalogue, drift
from models.contract import Spec
from store.drift import spread
from store.predictions import predictions_table
from worker.watched import Transactions

KINDS = ("taken_back", "worker_lost", "expired", "republished", "promoted")

LATEST: Final = "mostrecent"
"""With ENGINE=pool this is counted in files, which are added up: of these the latest value counts."""

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
            "millrace_rescue_last_round_timestamp_seconds",
            "When rescue last came round",
            multiprocess_mode=LATEST,
            registry=registry,
        )
        self._bytes = Gauge(
            "millrace_database_bytes", "Size of the database", multiprocess_mode=LATEST, registry=registry
        )
        self._drift = Gauge(
            "millrace_score_drift_index",
            "Population stability index of the latest scores against those of the held-out rows",
            ["model", "version"],
            multiprocess_mode=LATEST,
            registry=registry,
        )
        self._compared: set[tuple[str, str]] = set()
        self._looked_at = -EVERY

    def note(self, **tasks: Sequence[object]) -> None:
        """Count a round's tasks by kind."""
        for kind, found in tasks.items():
            self._rescues.labels(kind).inc(len(found))

    def over(self) -> None:
        """Say that a round is over, whether this program worked in it or another one."""
        self._last.set_to_current_time()

    def look(self, engine: Transactions) -> None:
        """Look up what changes slowly, if it is time."""
        if time.monotonic() - self._looked_at < EVERY:
            return
        self._looked_at = time.monotonic()
        with engine.begin() as connection:
            self._bytes.set(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)
            indexes = dict(filter(None, (_compare(connection, spec) for spec in catalogue.specs().values())))
        for version in self._compared - indexes.keys():  # it is served no more; a label cannot be taken from a file
            self._drift.labels(*version).set(math.nan)
        for version, index in indexes.items():
            self._drift.labels(*version).set(index)
        self._compared |= indexes.keys()


def _compare(connection: Connection, spec: Spec) -> tuple[tuple[str, str], float] | None:
    """Compare the latest scores of the model's version with those that its evaluation holds, where it does."""
    try:
        found = artifact.current(spec.name)
        held_out = found.evaluation.get("scores")
    except (artifact.ArtifactMissing, FileNotFoundError):
        return None
    if spec.score is None or held_out is None:
        return None
    table = predictions_table(spec.table, spec.stored_columns, MetaData())
    counts = spread(connection, table, spec.score, found.version, held_out["edges"])
    index = drift.index(held_out["shares"], counts)
    return None if index is None else ((spec.name, found.version), index)
