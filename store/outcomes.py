"""Outcomes as the handler sees them: add, list. Nothing here changes or deletes one; matching.py finds predictions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, TextClause, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import DateTime, Text

from store import lists
from store.tasks import SECONDS

_COLUMNS = {
    "model": "text",
    "key": "text",
    "task_id": "uuid",
    "position": "integer",
    "outcome": "text",
    "value": "double precision",
    "decided_at": "timestamptz",
    "reviewer": "text",
    "source": "text",
    "withdrawn": "boolean",
}


def _adding(many: Sequence[str]) -> TextClause:
    """Return the statement for rows in which these columns have several values, and each other one the same in all.

    The rows come in one order: two requests with the same outcomes, each waiting for the other's, would not end.
    """
    given = ", ".join(
        f"CAST({name if name in many else f':{name}'} AS {kind}) AS {name}" for name, kind in _COLUMNS.items()
    )
    order = ", ".join(f'{name} COLLATE "C"' if _COLUMNS[name] == "text" else name for name in many)
    return text(f"""
        INSERT INTO outcomes ({", ".join(_COLUMNS)}, client, everyones)
        SELECT *, :client, :everyones FROM (SELECT {given} FROM {lists.rows_from(many)}) AS given ORDER BY {order}
        ON CONFLICT DO NOTHING
    """)


async def add(
    connection: AsyncConnection, columns: Mapping[str, Sequence[Any]], client: str | None, *, everyones: bool
) -> int:
    """Store the outcomes that are not stored yet, and return how many these are.

    `columns` has one value an outcome for each of model, key, task_id, position, outcome, value, decided_at, reviewer,
    source and withdrawn.
    """
    many = [name for name in _COLUMNS if len(set(columns[name])) > 1] or ["key"]  # each value takes time
    given = {name: lists.as_json(columns[name]) if name in many else columns[name][0] for name in _COLUMNS}
    added = await connection.execute(_adding(many), {**given, "client": client, "everyones": everyones})
    return int(added.rowcount)


_SHOWN = ", ".join(["id", *_COLUMNS, "received_at", "client", "everyones"])

_CONDITIONS = {
    "model": "model = :model",
    "key": "key = :key",
    "task_id": "task_id = :task_id",
    "outcome": "outcome = :outcome",
    "reviewer": "reviewer = :reviewer",
    "source": "source = :source",
    "client": "client = :client",
    "decided_after": "decided_at >= :decided_after",
    "decided_before": "decided_at < :decided_before",
    "received_after": "received_at >= :received_after",
    "received_before": "received_at < :received_before",
    "before": "id < :before",
}
_TYPES: dict[str, Any] = {
    **{name: DateTime(timezone=True) for name in _CONDITIONS if name.endswith(("_after", "_before"))},
    **dict.fromkeys(("model", "key", "outcome", "reviewer", "source", "client"), Text()),
    "task_id": Uuid(),
}


async def page(
    connection: AsyncConnection, *, limit: int, **filters: str | int | UUID | datetime | None
) -> list[Row[Any]]:
    """Return outcomes, the ones stored last first, from the one that follows `before` (an id).

    Times are included in `…_after`, and not in `…_before`.
    """
    asked = {name: value for name, value in filters.items() if value is not None}
    conditions = " AND ".join(_CONDITIONS[name] for name in asked) or "true"
    query = text(f"SELECT {_SHOWN} FROM outcomes WHERE {conditions} ORDER BY id DESC LIMIT :limit")
    types = [bindparam(name, type_=_TYPES[name]) for name in asked if name in _TYPES]
    await connection.execute(text(f"SELECT set_config('statement_timeout', '{SECONDS}s', true)"))
    return list(await connection.execute(query.bindparams(*types), {**asked, "limit": limit}))
