"""What people decide about tasks: cancel one, or have failed ones scored once more."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.claims import WaitingTask

_OURS = "id = :id AND (CAST(:client AS text) IS NULL OR client = :client)"

_REVOKE = text(f"""
WITH revoked AS (
    UPDATE tasks SET status = 'REVOKED', finished_at = now(), lease_until = NULL, error = 'cancelled by its client'
    WHERE {_OURS} AND status IN ('PENDING', 'STARTED')
    RETURNING id
), dropped AS (
    DELETE FROM task_inputs USING revoked WHERE task_id = revoked.id
)
SELECT id FROM revoked
""")  # noqa: S608 - a constant


async def revoke(connection: AsyncConnection, task_id: UUID, client: str | None) -> bool:
    """Cancel a task that has not ended; the row is the authority, so a worker that has it stores nothing."""
    return await connection.scalar(_REVOKE, {"id": task_id, "client": client}) is not None


# In a statement of its own: whoever waited for retention, which holds the task too, must see that its inputs are gone.
_HOLD = "SELECT FROM tasks WHERE {which} AND status = 'FAILURE' FOR UPDATE"

# The attempt goes on counting, since it fences writers; what is compared with the limit begins anew.
_ANEW = """
WITH replayed AS (
    UPDATE tasks
    SET status = 'PENDING', error = NULL, started_at = NULL, finished_at = NULL, model_version = NULL,
        attempt_base = attempt, published_at = {published}
    WHERE {which} AND status = 'FAILURE' AND EXISTS (SELECT FROM task_inputs WHERE task_id = id)
    RETURNING id, model, n_inputs, priority
), untold AS (
    UPDATE webhooks SET due_at = NULL, attempts = 0, delivered_at = NULL, given_up_at = NULL
    FROM replayed WHERE task_id = replayed.id
)
SELECT id, model, n_inputs, priority FROM replayed
"""

_HOLD_OURS = text(_HOLD.format(which=_OURS))
_REPLAY = text(_ANEW.format(published="now()", which=_OURS))


async def replay(connection: AsyncConnection, task_id: UUID, client: str | None) -> WaitingTask | None:
    """Let a failed task wait again and return it for publishing; None when it is not a failed task."""
    ours = {"id": task_id, "client": client}
    await connection.execute(_HOLD_OURS, ours)
    row = (await connection.execute(_REPLAY, ours)).one_or_none()
    return None if row is None else WaitingTask(*row)


# Published in no time that was: the next round of rescue finds them without a message.
_NEVER = "'-infinity'"
_THESE = "id = ANY(:ids)"
_SINCE = "finished_at >= :since AND (CAST(:model AS text) IS NULL OR model = :model)"


def replay_these(connection: Connection, task_ids: Sequence[UUID]) -> set[UUID]:
    """Let those of these tasks that have failed wait again, for rescue to publish; return their ids."""
    return {task.task_id for task in _replay_where(connection, _THESE, {"ids": list(task_ids)})}


def replay_failed(connection: Connection, *, since: datetime, model: str | None) -> int:
    """Let the tasks that have failed since then wait again, for rescue to publish; return how many."""
    return len(_replay_where(connection, _SINCE, {"since": since, "model": model}))


def _replay_where(connection: Connection, which: str, values: Mapping[str, Any]) -> list[WaitingTask]:
    connection.execute(text(_HOLD.format(which=which)), values)
    rows = connection.execute(text(_ANEW.format(published=_NEVER, which=which)), values)
    return [WaitingTask(*row) for row in rows]
