"""Tasks as the handler sees them: read, list. (submissions.py makes them.)"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Integer, Row, Select, Text, Uuid, bindparam, cast, func, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import LateralFromClause, TextualSelect
from sqlalchemy.types import TypeEngine

from store.states import PENDING, Status, status_in
from store.tables import tasks


async def fetch(
    connection: AsyncConnection, task_id: UUID, client: str | None = None, outputs: LateralFromClause | None = None
) -> Row[*tuple[Any, ...]] | None:
    """Return a task, and behind its own columns those of `outputs`; with a client, only its own."""
    given = {"task_id": task_id} if client is None else {"task_id": task_id, "client": client}
    return (await connection.execute(_fetch(client is not None, outputs), given)).one_or_none()


@lru_cache(maxsize=256)  # making the statement would take longer than PostgreSQL does with it
def _fetch(own: bool, outputs: LateralFromClause | None) -> Select[*tuple[Any, ...]]:
    query = _SUMMARY if outputs is None else _SUMMARY.add_columns(*outputs.c).join(outputs, true())
    query = query.where(tasks.c.id == bindparam("task_id"))
    return query.where(tasks.c.client == bindparam("client")) if own else query


def newest(
    *,
    status: Status | None = None,
    model: str | None = None,
    submitted_after: datetime | None = None,
    submitted_before: datetime | None = None,
    before: UUID | None = None,
    client: str | None = None,
    limit: int,
    ids_only: bool = False,
) -> tuple[TextualSelect, dict[str, Any]]:
    """Ask for tasks, newest first, from the one that follows `before` (a task id): return a statement and its values.

    Times are the database's, `submitted_after` included, `submitted_before` not. With a client, only its own. With
    `ids_only` the statement has the one column `task_id`, which the index alone answers.

    What is read grows with `limit`, and not with what is stored: an index has the newest of each model and state, of
    all or of one client, and the newest of these are the newest.
    """
    own = "client = :client AND" if client is not None else ""
    asked = "" if submitted_after is None else " AND submitted_at >= :submitted_after"
    if before is not None:
        asked += f" AND (submitted_at, id) < ({_START if submitted_before is None else _EARLIER_START})"
    elif submitted_before is not None:
        asked += " AND submitted_at < :submitted_before"
    models = _ALL_MODELS.format(own=own) if model is None else "WITH models (model) AS (SELECT CAST(:model AS text))"
    given: dict[str, Any] = {
        "model": model,
        "client": client,
        "submitted_after": submitted_after,
        "submitted_before": submitted_before,
        "before": before,
        "before_at": None if before is None else _time_in(before),
    }
    needed = {name: value for name, value in given.items() if value is not None}
    needed |= {"statuses": [str(one) for one in ([status] if status else Status)], "limit": limit}
    statement = models + (_IDS if ids_only else _PAGE).format(own=own, asked=asked)
    return _newest(statement, tuple(needed), ids_only), needed


@lru_cache(maxsize=64)
def _newest(statement: str, parameters: tuple[str, ...], ids_only: bool) -> TextualSelect:
    types = [bindparam(name, type_=_TYPES.get(name, Text())) for name in parameters]
    columns = list(_SUMMARY.selected_columns)
    return text(statement).bindparams(*types).columns(*(columns[:1] if ids_only else columns))


_SUBMITTED = "coalesce((SELECT submitted_at FROM tasks WHERE id = :before), :before_at)"
_START = f"{_SUBMITTED}, :before"
# One bound, since an index scan begins at one: of two, it might begin at the one that lets more through.
_EARLIER_START = f"""
least({_SUBMITTED}, :submitted_before),
CASE WHEN {_SUBMITTED} < :submitted_before THEN :before ELSE CAST('00000000-0000-0000-0000-000000000000' AS uuid) END
"""
_TYPES: dict[str, TypeEngine[Any]] = {
    "submitted_after": DateTime(timezone=True),
    "submitted_before": DateTime(timezone=True),
    "before_at": DateTime(timezone=True),
    "before": Uuid(),
    "statuses": ARRAY(Text),
    "limit": Integer(),
}

# LATERAL and LIMIT make each part an index lookup, whatever the planner thinks of the table.
# Each model that has tasks, by one look into the index for each.
_ALL_MODELS = """
WITH RECURSIVE every (model) AS (
    (SELECT model FROM tasks WHERE {own} true ORDER BY model LIMIT 1)
    UNION ALL
    SELECT (SELECT model FROM tasks WHERE {own} model > every.model ORDER BY model LIMIT 1)
    FROM every WHERE every.model IS NOT NULL
), models (model) AS (
    SELECT model FROM every WHERE model IS NOT NULL
)
"""

_NEWEST = """
    SELECT newest.id, newest.submitted_at
    FROM models CROSS JOIN unnest(CAST(:statuses AS text[])) AS wanted (status) CROSS JOIN LATERAL (
        SELECT id, submitted_at FROM tasks
        WHERE {own} model = models.model AND status = wanted.status{asked}
        ORDER BY submitted_at DESC, id DESC LIMIT :limit
    ) AS newest
    ORDER BY newest.submitted_at DESC, newest.id DESC LIMIT :limit
"""
_IDS = f"SELECT id AS task_id FROM ({_NEWEST}) AS page"
_PAGE = f"""
SELECT task.*
FROM ({_NEWEST}) AS page CROSS JOIN LATERAL (
    SELECT id AS task_id, status, model, model_version, n_inputs, submitted_at, started_at, finished_at, error, faults,
        client
    FROM tasks WHERE id = page.id LIMIT 1
) AS task
ORDER BY page.submitted_at DESC, page.id DESC
"""


# Without statistics of a state or client that is new, the planner takes its tasks for few, reads all, and sorts them.
# It takes models for many, and would compile the query for longer than that takes.
BY_INDEX = text("""
SELECT set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)
""")
"""To be said before what `newest` asks for, in the same transaction."""


def _time_in(task_id: UUID) -> datetime:
    """Return the time in a UUIDv7 (RFC 9562, 5.7), for a task that is no longer there."""
    return datetime.fromtimestamp(min(task_id.int >> 80, _LATEST) / 1000, UTC)


_LATEST = 253_000_000_000_000
"""Milliseconds: in the year 9987, before datetime's end."""

SECONDS = 5
"""How long a list may take."""


async def page(connection: AsyncConnection, **wanted: Any) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the tasks that `newest` asks for, in a transaction of its own, within SECONDS."""
    await connection.execute(text(f"SELECT set_config('statement_timeout', '{SECONDS}s', true)"))
    await connection.execute(BY_INDEX)
    return (await connection.execute(*newest(**wanted))).all()


class QueueDepth(NamedTuple):
    """How many tasks wait, their inputs, and the age of the oldest in seconds."""

    tasks: int
    inputs: int
    oldest: float


QueueDepths = Mapping[tuple[str, int], QueueDepth]
"""By model and priority, where tasks wait."""


@dataclass(frozen=True, slots=True)
class TransactionSnapshot:
    """Which transactions a statement has seen (https://www.postgresql.org/docs/current/functions-info.html)."""

    begin: int
    """All before this one have ended."""
    end: int
    """This one and those after it have not."""
    between: frozenset[int]
    """Those between the two that have not."""

    @classmethod
    def parse(cls, snapshot: str) -> "TransactionSnapshot":
        begin, end, between = snapshot.split(":")
        return cls(int(begin), int(end), frozenset(map(int, filter(None, between.split(",")))))

    def sees(self, transaction: int) -> bool:
        """Return whether what this transaction has committed is in what the statement has read."""
        return transaction < self.end and transaction not in self.between


async def queue_depths(connection: AsyncConnection) -> tuple[QueueDepths, TransactionSnapshot]:
    """Return what waits for a worker, and which transactions that takes into account."""
    rows = (await connection.execute(_QUEUE_DEPTHS_SEEN)).all()
    return by_queue(row[1:] for row in rows if row[1] is not None), TransactionSnapshot.parse(rows[0][0])


QUEUE_DEPTHS = (
    select(
        tasks.c.model,
        tasks.c.priority,
        func.count().label("tasks"),
        func.sum(tasks.c.n_inputs).label("inputs"),
        func.extract("epoch", func.now() - func.min(tasks.c.submitted_at)).label("oldest"),
    )
    .where(text(status_in(PENDING)))
    .group_by(tasks.c.model, tasks.c.priority)
)


_queues = QUEUE_DEPTHS.subquery()
_seen = select(cast(func.pg_current_snapshot(), Text).label("snapshot")).subquery()
_QUEUE_DEPTHS_SEEN = select(_seen, _queues).select_from(_seen.outerjoin(_queues, true()))


def by_queue(rows: Iterable[Sequence[Any]]) -> QueueDepths:
    """Return what QUEUE_DEPTHS answers by model and priority."""
    return {(model, priority): QueueDepth(n, int(inputs), float(age)) for model, priority, n, inputs, age in rows}


_SUMMARY = select(
    tasks.c.id.label("task_id"),
    tasks.c.status,
    tasks.c.model,
    tasks.c.model_version,
    tasks.c.n_inputs,
    tasks.c.submitted_at,
    tasks.c.started_at,
    tasks.c.finished_at,
    tasks.c.error,
    tasks.c.faults,
    tasks.c.client,
)
SUMMARY = len(_SUMMARY.selected_columns)
"""Columns of a task that are its own."""


def summaries() -> Select[*tuple[Any, ...]]:
    """Ask for every task's own columns."""
    return _SUMMARY
