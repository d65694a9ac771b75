"""Deletes the predictions of old days, and the tasks that they belong to.

A task goes with its predictions in one transaction, so that neither is seen without the other. Tasks that have not
ended are never touched. Work goes by slices of time, in the order of submission, in short transactions with rests.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from store import block_ranges, old_outcomes
from store.limits import limit_time
from store.old_days import DAY, FINISHED, SCORED, SECONDS, midnight, next_ended, shorten
from store.retention import Begin, Slice
from store.states import FINAL, Status

log = structlog.get_logger(__name__)

ROWS = 2_000
"""Predictions, and tasks, that one transaction deletes at most. A task with more predictions goes alone."""

REST = 1.0
"""How long it rests after a transaction, as a multiple of what that took: others get half of a core and of the disk."""


class Deleted(NamedTuple):
    """What one transaction has deleted, by day."""

    tasks: Counter[date]
    predictions: Counter[date]


Place = tuple[datetime, UUID]
"""A task's time of submission and its id: the order in which tasks are deleted."""

_FIRST = UUID(int=0)

# The index on model, status and time of submission gives the tasks in their order. The lock keeps a replay away.
_CHOOSE = text(f"""
SELECT id, submitted_at FROM (
    SELECT id, submitted_at, n_inputs, sum(n_inputs) OVER (ORDER BY submitted_at, id) AS together FROM (
        SELECT id, submitted_at, n_inputs FROM tasks
        WHERE model = :model AND status = :status AND (submitted_at, id) > (:after_at, :after_id)
            AND submitted_at < :until AND {FINISHED} = ANY(CAST(:days AS date[]))
        ORDER BY submitted_at, id LIMIT :rows FOR UPDATE
    ) AS locked
) AS counted
WHERE together <= :rows OR together = n_inputs ORDER BY submitted_at, id
""")

# There are few ids and large tables. Without statistics of new rows, the planner might read a whole table.
_BY_INDEX = text("""
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)
""")


def delete(begin: Begin, model: str, table: str, days: Sequence[date]) -> Iterator[Deleted]:
    """Delete the model's tasks that ended on these days, with their predictions; yield after each transaction.

    Raises DBAPIError when a statement takes too long, or waits too long for a lock, even on the least of time.
    """
    before = midnight(max(days)) + DAY
    within, touched = Slice(SECONDS), set[int]()
    for status in sorted(FINAL):
        since = _next(begin, model, status)
        while since is not None and since < before:
            until = min(since + within.length, before)
            which = {"model": model, "status": status, "until": until, "days": list(days)}
            try:
                yield from _delete_slice(begin, table, which, (since, _FIRST), within.seconds, touched)
            except DBAPIError as error:
                shorten(within, error)
                continue
            touched = block_ranges.summarize(begin, table, touched)
            since = _next(begin, model, status, until)
            within.lengthen()
    if touched := block_ranges.summarize(begin, table, touched, last=True):
        remedy = f"REINDEX INDEX CONCURRENTLY {table}_scored_at"
        log.warning("index_not_narrow", table=table, ranges=len(touched), remedy=remedy)


def _next(begin: Begin, model: str, status: Status, since: datetime | None = None) -> datetime | None:
    with begin() as connection:
        return next_ended(connection, model, since, [status])


def _delete_slice(
    begin: Begin, table: str, which: dict[str, object], after: Place, seconds: float, touched: set[int]
) -> Iterator[Deleted]:
    while True:
        start = time.monotonic()
        with begin() as connection:
            limit_time(connection, seconds)
            last, deleted = _delete_some(connection, table, which, after, touched)
        if last is None:
            return
        after = last
        yield deleted
        time.sleep(REST * (time.monotonic() - start))


def _delete_some(
    connection: Connection, table: str, which: dict[str, object], after: Place, touched: set[int]
) -> tuple[Place | None, Deleted]:
    """Delete the tasks that follow `after`. Return the last of them, or None where there was none."""
    connection.execute(_BY_INDEX)
    deleted = Deleted(Counter(), Counter())
    tasks = connection.execute(_CHOOSE, {**which, "after_at": after[0], "after_id": after[1], "rows": ROWS}).all()
    if not tasks:
        return None, deleted
    values: dict[str, Any] = {"ids": [task.id for task in tasks], "days": which["days"]}
    # A prediction of a day that stays is left, and then its task is left, too.
    predictions = text(f"""
        WITH gone AS (
            DELETE FROM "{table}" WHERE task_id = ANY(:ids) AND {SCORED} = ANY(CAST(:days AS date[]))
            RETURNING {SCORED} AS day, {block_ranges.BLOCK_RANGE} AS block_range
        )
        SELECT day, block_range, count(*) AS rows FROM gone GROUP BY 1, 2
    """)
    for row in connection.execute(predictions, values):
        deleted.predictions[row.day] += row.rows
        touched.add(row.block_range)
    old_outcomes.delete_of_tasks(connection, table, values["ids"])
    ended = text(f"""
        WITH gone AS (
            DELETE FROM tasks WHERE id = ANY(:ids) AND NOT EXISTS (SELECT FROM "{table}" WHERE task_id = tasks.id)
            RETURNING {FINISHED} AS day
        )
        SELECT day, count(*) AS tasks FROM gone GROUP BY 1
    """)
    for row in connection.execute(ended, values):
        deleted.tasks[row.day] += row.tasks
    return (tasks[-1].submitted_at, tasks[-1].id), deleted
