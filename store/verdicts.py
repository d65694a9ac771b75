"""What a client decides about its task: cancel it, or have it scored once more."""

from uuid import UUID

from sqlalchemy import text
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


# The attempt goes on counting, since it fences writers; what is compared with the limit begins anew.
_REPLAY = text(f"""
UPDATE tasks
SET status = 'PENDING', error = NULL, started_at = NULL, finished_at = NULL, model_version = NULL,
    published_at = now(), attempt_base = attempt
WHERE {_OURS} AND status = 'FAILURE' AND EXISTS (SELECT FROM task_inputs WHERE task_id = id)
RETURNING id, model, n_inputs, priority
""")  # noqa: S608 - a constant


async def replay(connection: AsyncConnection, task_id: UUID, client: str | None) -> WaitingTask | None:
    """Let a failed task wait again and return it for publishing; None when it is not a failed task."""
    row = (await connection.execute(_REPLAY, {"id": task_id, "client": client})).one_or_none()
    return None if row is None else WaitingTask(*row)
