"""Brings every model's days up to date, one after another; what fails is logged and tried again in the next round."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from sqlalchemy import Engine, text

from blobs.address import redacted
from export import due
from export.days import DayBusy, RowsGone, export_day, limit_wait
from export.due import CountedDay, Exported
from export.storage import Storage
from store import deleted_days, models, outage
from store.address import UnusableUrl

FAILURES = 3
"""Days in a row that fail before the round is given up: the database, the place or its disk is away."""

DELETING = deleted_days.LOCK
"""The advisory lock ("milld") of whoever deletes predictions: a round must not see half a day. Rounds share it."""

_NOBODY_DELETES = text("SELECT pg_try_advisory_xact_lock_shared(:lock)")

DayEvent = Literal["day_exported", "day_busy", "day_kept", "day_failed"]


@dataclass(frozen=True)
class DayOutcome:
    """What became of a day that was not as its manifest says, or of a model whose days cannot be found."""

    event: DayEvent
    model: str
    day: date | None
    rows: int = 0
    """In the file; of a day that was kept, in the table."""
    bytes: int = 0
    seconds: float = 0
    error: Exception | None = None

    @property
    def reason(self) -> str | None:
        return None if self.error is None else reason(self.error)


def reason(error: Exception) -> str:
    """Return an error in one line without a password and without a row."""
    away = str(error) if isinstance(error, UnusableUrl) else outage.reason(error)
    said = away or f"{type(error).__name__}: {error}"
    return redacted(said.strip().partition("\n")[0])


class RoundGivenUp(Exception):
    """Too many days in a row have failed; the next round tries again."""


class Interrupted(Exception):
    """Whoever follows the export asked for its end. The day under way stays as it was."""


Follow = Callable[[str, date, int, int], None]
"""Is told how far a day is: model, day, rows so far, rows in all. It may raise Interrupted."""


class Exporter:
    """Exports to one place. It may live as long as its program."""

    def __init__(self, engine: Engine, url: str, follow: Follow) -> None:
        """Raises UnusableBlobUrl."""
        self._engine = engine.execution_options(postgresql_readonly=True)
        self._url = url
        self._exported = Exported(Storage.at(url))
        self._follow = follow

    def models(self) -> dict[str, str]:
        """Return the table of each model that there ever was, in the order of the names."""
        with self._engine.begin() as connection:
            return dict(sorted(models.tables(connection).items()))

    def round(self, tables: Mapping[str, str], *, only: date | None = None, today: bool = True) -> Iterator[DayOutcome]:
        """Export the days of these models that are not as their manifests say: all or one; without `today`, ended ones.

        Raises RoundGivenUp and Interrupted.
        """
        failures = 0
        for model, table in tables.items():
            for outcome in self._of_model(model, table, only, today):
                yield outcome
                failures = failures + 1 if outcome.event == "day_failed" else 0
                if failures == FAILURES:
                    raise RoundGivenUp(f"{failures} days in a row have failed, the last one with: {outcome.reason}")

    def _of_model(self, model: str, table: str, only: date | None, today: bool) -> Iterator[DayOutcome]:
        try:
            counted = self._count(model, table, only, today)
        except Exception as error:
            yield DayOutcome("day_failed", model, only, error=error)
            return
        for one in counted:
            if one.lost_rows:
                yield DayOutcome("day_kept", model, one.day, one.rows, error=RowsGone(_FEWER))
            elif one.is_due:
                yield self._export(model, table, one)

    def _count(self, model: str, table: str, only: date | None, today: bool) -> list[CountedDay]:
        exported = self._exported.sound(model)
        with self._engine.begin() as connection:
            limit_wait(connection)
            chosen = [only] if only else due.doubtful(connection, table, exported)
            if not today:
                now = due.today(connection)
                chosen = [day for day in chosen if day < now]
            return due.count(connection, table, chosen, exported)

    def _export(self, model: str, table: str, counted: CountedDay) -> DayOutcome:
        begun, day = time.monotonic(), counted.day

        def progress(rows: int) -> None:
            self._follow(model, day, rows, max(rows, counted.rows))

        try:
            with self._engine.begin() as connection:
                if not connection.scalar(_NOBODY_DELETES, {"lock": DELETING}):
                    raise DayBusy("another program is deleting predictions")
                made = export_day(connection, self._url, model, table, day, at_least=counted.rows, progress=progress)
        except Interrupted:
            raise
        except DayBusy as error:
            return DayOutcome("day_busy", model, day, error=error)
        except RowsGone as error:
            return DayOutcome("day_kept", model, day, counted.rows, error=error)
        except Exception as error:
            return DayOutcome("day_failed", model, day, error=error)
        return DayOutcome("day_exported", model, day, made.rows, made.bytes, time.monotonic() - begun)


_FEWER = "the table has fewer rows of this day than the file, which keeps them"
