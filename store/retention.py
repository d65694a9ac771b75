"""Empties what people wrote or showed, once it is old: the personal columns of predictions, and failed tasks' inputs.

Scores, labels, versions and times stay, so that what was counted can be counted again. Age is counted from the scoring,
or from the failure. Work goes by slices of time and in batches, each a short transaction: nobody waits long for a row.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, TextClause, select, text
from sqlalchemy.exc import DBAPIError

from store import outage
from store.limits import limit_time
from store.states import FAILURE, status_in
from store.tables import tasks

LIMIT = 5_000
"""Rows in one transaction."""

LONGEST, SHORTEST = timedelta(days=1), timedelta(seconds=1)
"""So much time is looked at at once, at most and at least: block-range indexes find its rows without the others."""


@dataclass
class Slice:
    """How much time is looked at at once: less where there is much to empty, since what is empty is read again."""

    seconds: float = 60
    """How long a statement may take."""
    length: timedelta = LONGEST

    def lengthen(self) -> None:
        self.length = min(LONGEST, self.length * 2)

    def shorten(self, by: int) -> None:
        self.length = max(SHORTEST, self.length / by)


Begin = Callable[[], AbstractContextManager[Connection]]
"""Opens a transaction: an engine's `begin`."""

PersonalColumns = Mapping[str, tuple[Table, Sequence[str]]]
"""For each model that has any: its table, and the columns to be emptied."""


def kept(table: Table, columns: Sequence[str], alias: str) -> str:
    """Return a condition in SQL: in this row of the table, so named, none of the columns has been emptied."""
    return " AND ".join(f'{alias}."{name}" IS DISTINCT FROM {_empty_value(table, name)}' for name in columns) or "true"


def oldest(connection: Connection) -> datetime | None:
    """Return when the oldest task was submitted, before which there is nothing; None: there is no task."""
    at: datetime | None = connection.scalar(select(tasks.c.submitted_at).order_by(tasks.c.id).limit(1))
    return at and at - timedelta(hours=1)  # ids are ordered by the handlers' clocks, which may differ


def cutoff(connection: Connection, age: timedelta) -> datetime:
    """Return the time, by the database's clock, before which everything is too old."""
    limit: datetime = connection.scalar(text("SELECT now() - CAST(:age AS interval)"), {"age": age})
    return limit


def redact(
    begin: Begin, personal: PersonalColumns, since: datetime, before: datetime, within: Slice | None = None
) -> Iterator[tuple[datetime, int]]:
    """Empty what was scored or failed in this time.

    Yields after each step up to when all is empty, and how many rows it has emptied; whoever stops there can go on
    from there. Raises DBAPIError when a statement takes too long even on the least that can be looked at.
    """
    within = within or Slice()
    statements: list[tuple[TextClause, dict[str, Any]]] = [
        (_emptying(table, columns), {}) for table, columns in personal.values()
    ]
    statements.append((_FORGET_INPUTS, {"models": list(personal)}))
    while since < before:
        end = min(since + within.length, before)
        values = {"since": since, "before": end, "limit": LIMIT}
        try:
            found = [_empty(begin, statement, values | more, within.seconds) for statement, more in statements]
        except DBAPIError as error:
            if not outage.is_transient(error) or within.length <= SHORTEST:
                raise
            within.shorten(16)
            yield since, 0
            continue
        if LIMIT in found:
            within.shorten(2)
        else:
            since = end
            within.lengthen()
        yield since, sum(found)


def _empty(begin: Begin, statement: TextClause, values: Mapping[str, Any], seconds: float) -> int:
    with begin() as connection:
        limit_time(connection, seconds)
        return connection.execute(statement, values).rowcount


def _empty_value(table: Table, column: str) -> str:
    return "NULL" if table.c[column].nullable else "''"


def _emptying(table: Table, columns: Sequence[str]) -> TextClause:
    empty = {name: _empty_value(table, name) for name in columns}
    return text(f"""
        UPDATE "{table.name}" SET {", ".join(f'"{name}" = {value}' for name, value in empty.items())}
        WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM "{table.name}"
            WHERE scored_at >= :since AND scored_at < :before
                AND ({" OR ".join(f'"{name}" IS DISTINCT FROM {value}' for name, value in empty.items())})
            LIMIT :limit FOR UPDATE SKIP LOCKED
        ))
    """)


# An error may quote the input: of it, what stands before the first colon stays, which is the exception's type.
_FORGET_INPUTS = text(f"""
    WITH old AS (
        SELECT id FROM tasks
        WHERE {status_in(FAILURE)} AND model = ANY(:models) AND finished_at >= :since AND finished_at < :before
            AND EXISTS (SELECT FROM task_inputs WHERE task_id = id)
        LIMIT :limit FOR UPDATE SKIP LOCKED
    ), forgotten AS (
        UPDATE tasks SET error = split_part(error, ':', 1) FROM old WHERE tasks.id = old.id
    )
    DELETE FROM task_inputs USING old WHERE task_id = old.id
""")
