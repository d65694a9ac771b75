"""Empties what people wrote or showed, once it is old: the personal columns of predictions, and failed tasks' inputs.

Scores, labels, versions and times stay, so that what was counted can be counted again. Age is counted from the scoring,
or from the failure. Work goes by days and in batches, each a short transaction: nobody waits for a row for long.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection, Table, TextClause, select, text

from store.tables import tasks

LIMIT = 5_000
"""Rows in one transaction."""

SLICE = timedelta(days=1)
"""So much time is looked at at once: block-range indexes find its rows without reading the others."""


class Transactions(Protocol):
    """What opens transactions: an Engine, or a worker's watched one."""

    def begin(self) -> AbstractContextManager[Connection]: ...


Personal = Mapping[str, tuple[Table, Sequence[str]]]
"""For each model that has any: its table, and the columns to be emptied."""


def begin(connection: Connection) -> datetime | None:
    """Return when the oldest task was submitted, before which there is nothing; None: there is no task."""
    oldest: datetime | None = connection.scalar(select(tasks.c.submitted_at).order_by(tasks.c.id).limit(1))
    return oldest and oldest - timedelta(hours=1)  # ids are ordered by the handlers' clocks, which may differ


def until(connection: Connection, age: timedelta) -> datetime:
    """Return the time, by the database's clock, before which everything is too old."""
    limit: datetime = connection.scalar(text("SELECT now() - CAST(:age AS interval)"), {"age": age})
    return limit


def sweep(
    engine: Transactions, personal: Personal, since: datetime, before: datetime
) -> Iterator[tuple[datetime, int]]:
    """Empty what was scored or failed in this time.

    Yields after each transaction up to when all is empty, and how many rows it has emptied; whoever stops there can go
    on from there.
    """
    while since < before:
        end = min(since + SLICE, before)
        with engine.begin() as connection:
            rows = _empty(connection, personal, since, end)
        since = since if rows else end
        yield since, rows


def _empty(connection: Connection, personal: Personal, since: datetime, before: datetime) -> int:
    values = {"since": since, "before": before, "limit": LIMIT}
    rows = [connection.execute(_emptying(table, columns), values).rowcount for table, columns in personal.values()]
    return sum(rows) + connection.execute(_FORGET_INPUTS, values | {"models": list(personal)}).rowcount


def _emptying(table: Table, columns: Sequence[str]) -> TextClause:
    empty = {name: "NULL" if table.c[name].nullable else "''" for name in columns}
    return text(f"""
        UPDATE "{table.name}" SET {", ".join(f'"{name}" = {value}' for name, value in empty.items())}
        WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM "{table.name}"
            WHERE scored_at >= :since AND scored_at < :before
                AND ({" OR ".join(f'"{name}" IS DISTINCT FROM {value}' for name, value in empty.items())})
            LIMIT :limit FOR UPDATE SKIP LOCKED
        ))
    """)  # noqa: S608 - names out of our specs


# An error may quote the input: of it, what stands before the first colon stays, which is the exception's type.
_FORGET_INPUTS = text("""
    WITH old AS (
        SELECT id FROM tasks
        WHERE status = 'FAILURE' AND model = ANY(:models) AND finished_at >= :since AND finished_at < :before
            AND EXISTS (SELECT FROM task_inputs WHERE task_id = id)
        LIMIT :limit FOR UPDATE SKIP LOCKED
    ), forgotten AS (
        UPDATE tasks SET error = split_part(error, ':', 1) FROM old WHERE tasks.id = old.id
    )
    DELETE FROM task_inputs USING old WHERE task_id = old.id
""")
