"""What became of one task beside its state: attempts, times, its callback, and the inputs that wait to be scored."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import task_inputs, tasks
from store.webhook_tables import webhooks

_COLUMNS = (
    *("attempt", "lost_attempts", "priority", "published_at", "needs_message", "lease_until", "deadline"),
    *("accepted_version", "traceparent"),
)
_CALLBACK = ("attempts", "due_at", "delivered_at", "given_up_at", "last_status", "last_error")

_STORY = select(
    *(tasks.c[name] for name in _COLUMNS),
    webhooks.c.url.label("callback_url"),
    *(webhooks.c[name].label(f"callback_{name}") for name in _CALLBACK),
).select_from(tasks.outerjoin(webhooks, webhooks.c.task_id == tasks.c.id))


async def story(connection: AsyncConnection, task_id: UUID) -> Row[*tuple[Any, ...]] | None:
    """Return a task's attempts and times, and its callback's in the columns `callback_…`: null without one."""
    return (await connection.execute(_STORY.where(tasks.c.id == task_id))).one_or_none()


async def kept_payload(connection: AsyncConnection, task_id: UUID, most: int) -> bytes | None:
    """Return the stored inputs of a task that has not succeeded, if they are at most so many bytes."""
    small = func.octet_length(task_inputs.c.payload) <= most
    payload = await connection.scalar(select(task_inputs.c.payload).where(task_inputs.c.task_id == task_id, small))
    return None if payload is None else bytes(payload)
