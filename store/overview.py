"""The whole platform at one moment, for a person's screen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select

from store.models import LIVE_MODELS
from store.states import Status
from store.tables import tasks, webhooks
from store.tasks import QUEUE_DEPTHS, QueueDepths, by_queue
from store.workers import LISTED, UNLOADED

FAILURES = 5


@dataclass(frozen=True)
class LatestFailure:
    task_id: UUID
    model: str
    at: datetime
    error: str


@dataclass(frozen=True)
class Overview:
    now: datetime
    """The database's clock."""
    models: Sequence[str]
    """Those with a live version."""
    queues: QueueDepths
    workers: Sequence[Row[Any]]
    """One row for each model that a living process has loaded."""
    unloaded: Sequence[Row[Any, Any, Any]]
    """(model, host, reason) of what living workers could not load."""
    failures: Sequence[LatestFailure]
    callbacks_due: int


_FAILED = (
    select(tasks.c.id, tasks.c.model, tasks.c.finished_at, func.coalesce(tasks.c.error, ""))
    .where(tasks.c.status == Status.FAILURE)
    .order_by(tasks.c.id.desc())
    .limit(FAILURES)
)


def fetch_overview(connection: Connection) -> Overview:
    """Look at everything that is cheap to know, however many tasks are stored."""
    return Overview(
        connection.execute(select(func.now())).scalar_one(),
        connection.scalars(LIVE_MODELS).all(),
        by_queue(connection.execute(QUEUE_DEPTHS)),
        connection.execute(LISTED).all(),
        connection.execute(UNLOADED).all(),
        [LatestFailure(*row) for row in connection.execute(_FAILED)],
        connection.scalar(select(func.count()).where(webhooks.c.due_at <= func.now())) or 0,
    )
