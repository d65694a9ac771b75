"""Tasks with callbacks, as accepting stores them, and what becomes of their deliveries."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from store.tables import tasks
from tests.running import Program, eventually

StartDeliverer = Callable[..., Program]


def add(engine: Engine, url: str, status: str = "SUCCESS", **columns: object) -> UUID:
    """Insert a task with a callback, as accepting does."""
    task_id = uuid7()
    ended = None if status in ("PENDING", "STARTED") else text("now()")
    with engine.begin() as connection:
        task = {"id": task_id, "model": "m", "n_inputs": 1, "status": status, "finished_at": ended}
        connection.execute(tasks.insert().values(task | columns))
        callback = {"id": task_id, "url": url}
        connection.execute(text("INSERT INTO webhooks (task_id, url) VALUES (:id, :url)"), callback)
    return task_id


def end(engine: Engine, task_id: UUID, status: str = "SUCCESS") -> None:
    with engine.begin() as connection:
        statement = "UPDATE tasks SET status = :status, finished_at = clock_timestamp() WHERE id = :id"
        connection.execute(text(statement), {"status": status, "id": task_id})


def callback(engine: Engine, task_id: UUID) -> Any:
    with engine.connect() as connection:
        return connection.execute(text("SELECT * FROM webhooks WHERE task_id = :id"), {"id": task_id}).one()


def attempted(engine: Engine, task_id: UUID, times: int = 1) -> Any:
    """Wait until so many attempts are over, and return the row."""

    def row() -> Any:
        row = callback(engine, task_id)
        return row if row.attempts >= times and (row.last_status or row.last_error) else None

    return eventually(row)


def now_due(engine: Engine, task_id: UUID) -> None:
    """Let no test wait for the retry's delay."""
    with engine.begin() as connection:
        statement = "UPDATE webhooks SET due_at = now(), last_status = NULL, last_error = NULL WHERE task_id = :id"
        connection.execute(text(statement), {"id": task_id})
