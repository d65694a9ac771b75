"""The days (UTC) of a model that are old enough to be deleted, with what each has."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, TextClause, text
from sqlalchemy.exc import DBAPIError

from store import deleted_days, outage
from store.limits import limit_time
from store.retention import SHORTEST, Begin, Slice
from store.states import FINAL, Status, status_in

SECONDS = 5.0
"""How long a statement may take."""

DAY = timedelta(days=1)

FINISHED = "CAST(finished_at AT TIME ZONE 'UTC' AS date)"
SCORED = "CAST(scored_at AT TIME ZONE 'UTC' AS date)"
"""The day of a task and that of a prediction, in SQL. Both times are those of one transaction."""


@dataclass(frozen=True)
class OldDay:
    day: date
    tasks: int
    """Those that ended on it, with predictions or without."""
    predictions: int
    unfinished: bool
    """Whether an earlier run has deleted a part of it."""


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def first_kept(connection: Connection, days: int) -> date:
    """Return the first day that has not been over for so many days, by the database's clock."""
    ago = text("SELECT CAST(now() AT TIME ZONE 'UTC' AS date) - CAST(:days AS int)")
    found: date = connection.execute(ago, {"days": days}).scalar_one()
    return found


_NEXT = text("""
SELECT min(next.submitted_at) FROM unnest(CAST(:statuses AS text[])) AS ended (status) CROSS JOIN LATERAL (
    SELECT submitted_at FROM tasks WHERE model = :model AND status = ended.status AND submitted_at >= :since
    ORDER BY submitted_at LIMIT 1
) AS next
""")

_TASKS = text(f"""
SELECT {FINISHED} AS day, count(*) AS tasks FROM tasks
WHERE model = :model AND {status_in(*FINAL)} AND submitted_at >= :since AND submitted_at < :until
    AND finished_at < :before
GROUP BY 1
""")


def next_ended(
    connection: Connection, model: str, since: datetime | None = None, statuses: Collection[Status] = FINAL
) -> datetime | None:
    """Return when the first of the model's ended tasks since then was submitted; None: there is none."""
    values = {"model": model, "statuses": sorted(statuses), "since": since or datetime.min.replace(tzinfo=UTC)}
    at: datetime | None = connection.scalar(_NEXT, values)
    return at


def find(begin: Begin, model: str, table: str, before: date) -> list[OldDay]:
    """Return the days before this one on which tasks of the model ended, the oldest first.

    Raises DBAPIError when a statement takes too long even on the least of time.
    """
    with begin() as connection:
        unfinished = deleted_days.unfinished(connection, model)
    tasks = _count_tasks(begin, model, midnight(before))
    within = Slice(SECONDS)
    return [
        OldDay(day, tasks[day], _count_predictions(begin, table, midnight(day), within), day in unfinished)
        for day in sorted(tasks)
    ]


def _count_tasks(begin: Begin, model: str, before: datetime) -> Counter[date]:
    tasks: Counter[date] = Counter()
    within = Slice(SECONDS)
    since: datetime | None = None
    while True:
        with begin() as connection:
            since = next_ended(connection, model, since)
        if since is None or since >= before:
            return tasks
        until = min(since + within.length, before)
        values = {"model": model, "since": since, "until": until, "before": before}
        rows = _ask(begin, within, _TASKS, values)
        if rows is not None:
            tasks.update({row.day: row.tasks for row in rows})
            since = until


def _count_predictions(begin: Begin, table: str, since: datetime, within: Slice) -> int:
    before, count = since + DAY, 0
    query = text(f'SELECT count(*) AS rows FROM "{table}" WHERE scored_at >= :since AND scored_at < :until')
    while since < before:
        until = min(since + within.length, before)
        rows = _ask(begin, within, query, {"since": since, "until": until})
        if rows is not None:
            count += rows[0].rows
            since = until
    return count


def _ask(begin: Begin, within: Slice, query: TextClause, values: Mapping[str, Any]) -> Sequence[Row[Any]] | None:
    """Return the rows; None where that takes too long, for less time to be asked about."""
    try:
        with begin() as connection:
            limit_time(connection, within.seconds)
            rows = connection.execute(query, values).all()
    except DBAPIError as error:
        shorten(within, error)
        return None
    within.lengthen()
    return rows


def shorten(within: Slice, error: DBAPIError) -> None:
    """Look at less time at once where that may help; raise the error where it cannot."""
    if not outage.is_transient(error) or within.length <= SHORTEST:
        raise error
    within.shorten(16)
