"""What the export counts for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from export.rounds import DayOutcome

NOT_EXPORTED = ("day_busy", "day_kept", "day_failed")
"""What may become of a day instead of its export."""


class ExportMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._last = Gauge(
            "millrace_export_last_success_timestamp_seconds",
            "When a round last left nothing to export; before the first, when the program started",
            registry=registry,
        )
        self._last.set_to_current_time()
        self._waiting = Gauge(
            "millrace_export_days_waiting", "Days that the latest round could not export", registry=registry
        )
        self._rows = Counter("millrace_export_rows", "Rows written", ["model"], registry=registry)
        self._failures = Counter(
            "millrace_export_failures",
            "Days that were not exported, by what happened, and rounds that were given up",
            ["kind"],
            registry=registry,
        )
        for kind in (*NOT_EXPORTED, "round_given_up"):
            self._failures.labels(kind)
        self._left = 0

    def count(self, outcome: DayOutcome) -> None:
        """Count what became of a day."""
        if outcome.event == "day_exported":
            self._rows.labels(outcome.model).inc(outcome.rows)
            return
        self._failures.labels(outcome.event).inc()
        self._left += outcome.event != "day_kept"  # its file keeps what the table no longer has: nothing is left to do

    def give_up(self) -> None:
        """Count a round that ended early."""
        self._failures.labels("round_given_up").inc()

    def round_over(self, *, all_exported: bool) -> None:
        """Note that a round is over; one that ended early does not know what it has not come to."""
        self._waiting.set(self._left)
        self._left = 0
        if all_exported:
            self._last.set_to_current_time()
