"""How much waits for a worker, by model and priority, and up to which transaction a count has seen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Text, cast, func, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection

from store.states import PENDING, status_in
from store.tables import tasks


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


async def measure(connection: AsyncConnection) -> tuple[QueueDepths, TransactionSnapshot]:
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
