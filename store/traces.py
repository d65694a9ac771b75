"""The traces that tasks belong to. Nobody asks for them unless tracing is on."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, select

from store.tables import tasks


def parents(connection: Connection, task_ids: Sequence[UUID]) -> list[str]:
    """Return the traceparents of those of these tasks that are traced."""
    query = select(tasks.c.traceparent).where(tasks.c.id.in_(task_ids), tasks.c.traceparent.is_not(None))
    return list(connection.execute(query).scalars())
