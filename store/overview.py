"""The whole platform at one moment, for a person's screen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select

from store.models import LIVE_MODELS
from store.states import Status
from store.tables import tasks
from store.tasks import QUEUE_DEPTHS, QueueDepths, by_queue
from store.webhook_tables import event_webhooks, webhooks
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


_TASKS_DUE, _EVENTS_DUE = (
    select(func.count()).where(table.c.due_at <= func.now()).scalar_subquery() for table in (webhooks, event_webhooks)
)
_FAILED = (
    select(tasks.c.id, tasks.c.model, tasks.c.finished_at, func.coalesce(tasks.c.error, ""))
    .where(tasks.c.status == Status.FAILURE)
    .order_by(tasks.c.id.desc())
    .limit(FAILURES)
)


def fetch_overview(connection: Connection, queues: QueueDepths | None = None) -> Overview:
    """Look at everything that is cheap to know, however many tasks are stored; the queues may be known already."""
    return Overview(
        connection.execute(select(func.now())).scalar_one(),
        connection.scalars(LIVE_MODELS).all(),
        by_queue(connection.execute(QUEUE_DEPTHS)) if queues is None else queues,
        connection.execute(LISTED).all(),
        connection.execute(UNLOADED).all(),
        [LatestFailure(*row) for row in connection.execute(_FAILED)],
        connection.scalar(select(_TASKS_DUE + _EVENTS_DUE)) or 0,
    )
