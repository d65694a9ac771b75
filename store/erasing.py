"""Erases one person's data: predictions by their key, and the inputs that wait in tasks or are kept for a replay.

A task keeps the inputs of others, and counts only those. A task of which nothing is left goes with all that is its own.
Outcomes go with their predictions.
"""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text

from store import old_outcomes
from store.old_days import SCORED
from store.states import PENDING, STARTED, status_in


class KeyColumn(NamedTuple):
    """A column that holds the callers' own keys, and the key in question as the column has it."""

    name: str
    value: str | int


class ErasedRows(NamedTuple):
    tasks: set[UUID]
    """The tasks that they were of."""
    days: set[date]
    """The days (UTC) on which they were stored."""
    inputs: Sequence[Sequence[Any]]
    """What was asked for of each row."""


def _has_key(keys: Sequence[KeyColumn]) -> tuple[str, dict[str, Any]]:
    """Return the condition in SQL with its values."""
    values = {f"key_{number}": key.value for number, key in enumerate(keys)}
    names = [f'"{key.name}" = :key_{number}' for number, key in enumerate(keys)]
    return f"({' OR '.join(names)})", values


def count(connection: Connection, table: str, keys: Sequence[KeyColumn]) -> tuple[int, int]:
    """Return how many predictions have the key, and of how many tasks they are."""
    condition, values = _has_key(keys)
    query = text(f'SELECT count(*), count(DISTINCT task_id) FROM "{table}" WHERE {condition}')
    row = connection.execute(query, values).one()
    return row[0], row[1]


_DROP_TASKS = 'DELETE FROM tasks WHERE id = ANY(:ids) AND NOT EXISTS (SELECT FROM "{table}" WHERE task_id = tasks.id)'

# A client may have made its idempotency key of the person's key.
_FORGET_KEY = ", ".join(
    f"{name} = CASE WHEN position(CAST(:key AS text) IN idempotency_key) > 0 THEN NULL ELSE {name} END"
    for name in ("idempotency_key", "request_fingerprint")
)
_COUNT_OTHERS = f"""
UPDATE tasks SET n_inputs = others.rows, {_FORGET_KEY}
FROM (SELECT task_id, count(*) AS rows FROM "{{table}}" WHERE task_id = ANY(:ids) GROUP BY 1) AS others
WHERE id = task_id
"""


def erase_predictions(
    connection: Connection, table: str, keys: Sequence[KeyColumn], columns: Sequence[str], limit: int
) -> ErasedRows | None:
    """Delete up to `limit` predictions with the key, and return what these columns held; None: there is none left."""
    condition, values = _has_key(keys)
    wanted = "".join(f', "{name}"' for name in columns)
    rows = connection.execute(
        text(f"""
            DELETE FROM "{table}"
            WHERE ctid = ANY(ARRAY(SELECT ctid FROM "{table}" WHERE {condition} LIMIT :limit FOR UPDATE))
            RETURNING task_id, position, {SCORED} AS day{wanted}
        """),
        values | {"limit": limit},
    ).all()
    if not rows:
        return None
    ids = {row.task_id for row in rows}
    old_outcomes.erase(connection, {(row.task_id, row.position) for row in rows})
    given = {"ids": list(ids), "key": str(keys[0].value)}
    connection.execute(text(_COUNT_OTHERS.format(table=table)), given)
    connection.execute(text(_DROP_TASKS.format(table=table)), {"ids": list(ids)})
    return ErasedRows(ids, {row.day for row in rows}, [row[3:] for row in rows])


_HELD = """
SELECT task_id, status, payload FROM task_inputs JOIN tasks ON id = task_id
WHERE model = :model AND task_id > :after{filtered} ORDER BY task_id LIMIT :limit
"""
# Any other spelling of a text in JSON has a backslash.
_SPELLED = r" AND (position(:spelled IN payload) > 0 OR position('\x5c'::bytea IN payload) > 0)"


def held_inputs(
    connection: Connection, model: str, after: UUID, limit: int, spelled: bytes | None
) -> Sequence[Row[Any]]:
    """Return (task_id, status, payload) of the model's tasks that have inputs, in the order of the ids.

    `spelled` leaves out payloads that cannot hold these bytes as a text of JSON.
    """
    values: dict[str, Any] = {"model": model, "after": after, "limit": limit}
    if spelled is not None:
        values["spelled"] = spelled
    query = text(_HELD.format(filtered=_SPELLED if spelled is not None else ""))
    return connection.execute(query, values).all()


_LOCK = text(f"SELECT FROM tasks WHERE id = :id AND NOT {status_in(PENDING, STARTED)} FOR UPDATE")
_KEEP_OTHERS = text(f"""
WITH kept AS (UPDATE task_inputs SET payload = :payload WHERE task_id = :id)
UPDATE tasks SET n_inputs = :n_inputs, error = split_part(error, ':', 1), faults = NULL, {_FORGET_KEY} WHERE id = :id
""")


class OtherInputs(NamedTuple):
    """What a task keeps: a payload without the person's inputs."""

    payload: bytes
    n_inputs: int


def erase_inputs(
    connection: Connection, task_id: UUID, key: str, others: Callable[[bytes], OtherInputs | None]
) -> bool:
    """Keep of an ended task what `others` returns of its payload; without any other input, the task goes.

    An error may quote an input: before the first colon stands only its type. Returns False where the task waits again.
    """
    if connection.execute(_LOCK, {"id": task_id}).first() is None:
        return False
    stored = text("SELECT payload FROM task_inputs WHERE task_id = :id")
    payload = connection.scalar(stored, {"id": task_id})
    if payload is None:
        return True
    kept = others(bytes(payload))
    if kept is None:
        connection.execute(text("DELETE FROM tasks WHERE id = :id"), {"id": task_id})
    else:
        connection.execute(_KEEP_OTHERS, {"id": task_id, "key": key, **kept._asdict()})
    return True


def forget_statistics(connection: Connection, table: str) -> None:
    """Have PostgreSQL sample these tables anew: its statistics quote values, and analysts may read them."""
    for name in (table, "tasks", "task_inputs", "outcomes"):
        connection.execute(text(f'ANALYZE "{name}"'))
