"""`python -m export`: one round after another; with `--once` a single one, which ends with 1 if a day has failed."""

import os
import signal
import sys
import threading
from datetime import date
from time import monotonic

import structlog
from sqlalchemy.exc import SQLAlchemyError

from export.metrics import ExportMetrics
from export.rounds import DayOutcome, Exporter, Interrupted, RoundGivenUp, reason
from export.settings import ExportSettings
from store.engine import STUCK, connect
from store.settings import StoreSettings
from telemetry import exporter, logs
from telemetry.heartbeat import beat
from telemetry.settings_errors import exit_on_invalid_settings
from telemetry.shutdown import shutdown_event

log = structlog.get_logger("export")

SILENT = 900.0
"""Seconds without progress after which a round hangs: nothing in Python ends a driver's wait for an answer."""


class Rounds:
    """Does rounds, and ends the process when one hangs, so that its supervisor replaces it."""

    def __init__(self, settings: ExportSettings, metrics: ExportMetrics, stopping: threading.Event) -> None:
        self._settings = settings
        self._metrics = metrics
        self._stopping = stopping
        self._working_at: float | None = None
        engine = connect(StoreSettings().database_url, pool_size=1)
        self._exporter = Exporter(engine, settings.export_url, self._follow)
        threading.Thread(target=self._watch, name="watch rounds", daemon=True).start()

    def run(self) -> None:
        while not self._stopping.is_set():
            self.round()
            self._stopping.wait(self._settings.export_interval_seconds)

    def round(self) -> bool:
        """Do a round, whatever happens in it, and return whether all is exported."""
        self._beat()
        exported = failed = 0
        try:
            for outcome in self._exporter.round(self._exporter.models(), today=self._settings.export_today):
                self._beat()
                _tell(outcome)
                self._metrics.count(outcome)
                exported += outcome.event == "day_exported"
                failed += outcome.event == "day_failed"
        except Interrupted:
            log.info("export_interrupted", files=exported)
            return False
        except (RoundGivenUp, SQLAlchemyError) as error:
            log.error("export_given_up", files=exported, failed=failed, reason=reason(error))
            self._metrics.give_up()
            self._metrics.round_over(all_exported=False)
            return False
        finally:
            self._working_at = None
        self._metrics.round_over(all_exported=failed == 0)
        log.info("export_finished", files=exported, failed=failed)
        return failed == 0

    def _follow(self, _model: str, _day: date, _rows: int, _of: int) -> None:
        self._beat()
        if self._stopping.is_set():
            raise Interrupted

    def _beat(self) -> None:
        beat("export")
        self._working_at = monotonic()

    def _watch(self) -> None:
        while not self._stopping.wait(SILENT / 10):
            if (at := self._working_at) is not None and monotonic() - at > SILENT:
                log.critical("export_hangs", seconds=SILENT, meaning="this process ends, to be replaced")
                os._exit(STUCK)


def _tell(outcome: DayOutcome) -> None:
    about = {"model": outcome.model, "day": outcome.day and outcome.day.isoformat(), "rows": outcome.rows}
    if outcome.error is None:
        log.info(outcome.event, **about, bytes=outcome.bytes, seconds=round(outcome.seconds, 2))
        return
    log.warning(outcome.event, **about, reason=outcome.reason, exc_info=outcome.error if _is_ours(outcome) else None)


def _is_ours(outcome: DayOutcome) -> bool:
    """Return whether a fault of this program has kept a day from its export, and so where it arose is worth a line."""
    library = type(outcome.error).__module__.partition(".")[0]
    away = isinstance(outcome.error, SQLAlchemyError | OSError) or library in ("botocore", "aiohttp", "gcsfs", "google")
    return outcome.event == "day_failed" and not away


@exit_on_invalid_settings()
def main() -> None:
    logs.configure(logs.LogSettings())
    settings = ExportSettings()
    stopping = shutdown_event((signal.SIGTERM, signal.SIGINT))
    registry = exporter.registry()
    rounds = Rounds(settings, ExportMetrics(registry), stopping)
    log.info("export_started", url=settings.export_url)
    if "--once" in sys.argv[1:]:  # it has ended before Prometheus comes
        sys.exit(0 if rounds.round() else 1)
    exporter.serve(registry, exporter.MetricsSettings(), "export")
    rounds.run()


if __name__ == "__main__":
    main()
