"""Finds the days of a model whose file lacks rows that the table has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, timedelta

from sqlalchemy import Connection, TextClause, text

from export import manifest
from export.days import DAY, midnight, quoted, settled_until
from export.manifest import DayManifest
from export.storage import MANIFEST, PREDICTIONS, Storage
from store import retention

RECENT = timedelta(days=3)
"""Days, today included, whose rows are counted in every round, whatever their manifests say."""


@dataclass(frozen=True)
class CountedDay:
    """A day whose rows were counted, beside what is exported of it."""

    day: date
    rows: int
    """In the table."""
    manifest: DayManifest | None
    settled: bool
    """Whether no transaction could add to it any more, before its rows were counted."""

    @property
    def is_due(self) -> bool:
        """Whether to write it: it has new rows, or is over and its file does not say so."""
        if self.manifest is None:
            return self.rows > 0
        unfinished = self.settled and not self.manifest.complete
        return self.rows > self.manifest.rows or (self.rows == self.manifest.rows and unfinished)

    @property
    def lost_rows(self) -> bool:
        """Whether the table has fewer rows than the file: somebody has deleted some, and the file keeps them."""
        return self.manifest is not None and self.rows < self.manifest.rows


class Exported:
    """What is exported to one place. It remembers the manifests of complete days, so that each is read once.

    Of their columns it forgets what they are: there may be tens of thousands of days.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._complete: dict[tuple[str, date], DayManifest] = {}

    def sound(self, model: str) -> dict[date, DayManifest]:
        """Return the manifests whose files are there and have their size."""
        files = self._storage.sizes(model)
        sizes = {day: of_day[PREDICTIONS] for day, of_day in files.items() if of_day.keys() >= {MANIFEST, PREDICTIONS}}
        known = {day: one for day, size in sizes.items() if (one := self._known(model, day, size))}
        read = manifest.read_all(self._storage, model, sizes.keys() - known.keys())
        found = known | {day: one for day, one in read.items() if one.bytes == sizes[day]}
        self._complete |= {(model, day): replace(one, columns={}) for day, one in found.items() if one.complete}
        return found

    def _known(self, model: str, day: date, size: int) -> DayManifest | None:
        known = self._complete.get((model, day))
        return known if known and known.bytes == size else None


def today(connection: Connection) -> date:
    """Return the day in UTC by the database's clock, which is that of `scored_at`."""
    found: date = connection.scalars(text("SELECT CAST(now() AT TIME ZONE 'UTC' AS date)")).one()
    return found


def doubtful(connection: Connection, table: str, exported: Mapping[date, DayManifest]) -> list[date]:
    """Return the days that may have rows which are not exported: recent ones, and those without a complete manifest."""
    now = today(connection)
    first = _first(connection, table, exported)
    every = _days(first, now) if first else ()
    return [day for day in every if now - day < RECENT or day not in exported or not exported[day].complete]


def count(
    connection: Connection, table: str, chosen: Sequence[date], exported: Mapping[date, DayManifest]
) -> list[CountedDay]:
    """Count the rows of each of these days, which come in their order."""
    counted = []
    _, settled = settled_until(connection, table)
    for start, end in _runs(chosen):
        found = connection.execute(_rows(table), {"since": midnight(start), "before": midnight(end + DAY)})
        rows = {row.day: row.rows for row in found}
        counted += [
            CountedDay(day, rows.get(day, 0), exported.get(day), midnight(day) + DAY <= settled)
            for day in _days(start, end)
        ]
    return counted


def _first(connection: Connection, table: str, exported: Mapping[date, DayManifest]) -> date | None:
    """Return a day before which the table has no row that is not exported; None: it has no row.

    A block-range index knows no minimum, so the whole table is read, which the first export does anyway. Later the
    earliest task tells, and so does the earliest file, as days are exported in their order.
    """
    if not exported:
        earliest: date | None = connection.scalar(text(f"SELECT min({_SCORED}) FROM {quoted(table)}"))
        return earliest
    task = retention.oldest(connection)
    return min(min(exported) - RECENT, task.astimezone(UTC).date() if task else date.max)


def _rows(table: str) -> TextClause:
    return text(f"""
        SELECT {_SCORED} AS day, count(*) AS rows FROM {quoted(table)}
        WHERE scored_at >= :since AND scored_at < :before
        GROUP BY 1
    """)


_SCORED = "CAST(scored_at AT TIME ZONE 'UTC' AS date)"


def _days(first: date, last: date) -> Iterator[date]:
    return (first + number * DAY for number in range((last - first).days + 1))


def _runs(chosen: Sequence[date]) -> Iterator[tuple[date, date]]:
    """Yield the first and the last of each run of days that follow each other: one query for all of them."""
    start = 0
    for place in range(1, len(chosen) + 1):
        if place == len(chosen) or chosen[place] - chosen[place - 1] != DAY:
            yield chosen[start], chosen[place - 1]
            start = place
