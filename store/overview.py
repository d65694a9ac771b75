"""The whole platform at one moment, for a person's screen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select

from store.states import Status
from store.tables import tasks, webhooks
from store.tasks import WAITING, by_queue
from store.workers import LISTED

FAILURES = 5


@dataclass(frozen=True)
class Failure:
    task_id: UUID
    model: str
    at: datetime
    error: str


@dataclass(frozen=True)
class Overview:
    now: datetime
    """The database's clock."""
    queues: Mapping[tuple[str, int], tuple[int, int, float]]
    """By model and priority, where tasks wait: how many, their inputs, and the age of the oldest in seconds."""
    workers: Sequence[Row[Any]]
    """One row for each model that a living process has loaded."""
    failures: Sequence[Failure]
    callbacks_due: int


_FAILED = (
    select(tasks.c.id, tasks.c.model, tasks.c.finished_at, func.coalesce(tasks.c.error, ""))
    .where(tasks.c.status == Status.FAILURE)
    .order_by(tasks.c.id.desc())
    .limit(FAILURES)
)


def look(connection: Connection) -> Overview:
    """Look at everything that is cheap to know, however many tasks are stored."""
    return Overview(
        connection.execute(select(func.now())).scalar_one(),
        by_queue(connection.execute(WAITING)),
        connection.execute(LISTED).all(),
        [Failure(*row) for row in connection.execute(_FAILED)],
        connection.scalar(select(func.count()).where(webhooks.c.due_at <= func.now())) or 0,
    )
