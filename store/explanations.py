"""Keeps what predictions are made of: written by the owner's command, read by the handler."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text
from sqlalchemy.ext.asyncio import AsyncConnection


class Explained(NamedTuple):
    """What one prediction is made of."""

    task_id: UUID
    position: int
    base: float
    contributions: list[float]


class Wanted(NamedTuple):
    """Predictions of one version that fit a condition on the table's columns, with its values."""

    table: str
    version: str
    condition: str
    values: Mapping[str, Any]


def _among(wanted: Wanted) -> str:
    return f'FROM "{wanted.table}" AS p WHERE p.model_version = :of_version AND ({wanted.condition})'


def count(connection: Connection, wanted: Wanted) -> int:
    """Return how many predictions are wanted, explained or not."""
    query = text(f"SELECT count(*) {_among(wanted)}")
    return int(connection.scalar(query, {**wanted.values, "of_version": wanted.version}) or 0)


def lowest_of_top(connection: Connection, wanted: Wanted, score: str, top: int) -> float:
    """Return the lowest score among the `top` highest."""
    query = text(f'SELECT p."{score}" {_among(wanted)} ORDER BY 1 DESC NULLS LAST OFFSET :skipped LIMIT 1')
    values = {**wanted.values, "of_version": wanted.version, "skipped": top - 1}
    return float(connection.scalars(query, values).one())


def unexplained(
    connection: Connection, wanted: Wanted, columns: Sequence[str], after: tuple[UUID, int], limit: int
) -> Sequence[Row[Any]]:
    """Return (task_id, position, *columns) of the next predictions that are wanted and not explained yet."""
    inputs = "".join(f', p."{name}"' for name in columns)
    query = text(f"""
        SELECT p.task_id, p.position{inputs} {_among(wanted)}
            AND (p.task_id, p.position) > (:after_task, :after_position) AND NOT EXISTS (
                SELECT FROM explanations AS e WHERE e.task_id = p.task_id AND e.position = p.position
            )
        ORDER BY p.task_id, p.position LIMIT :limit
    """)
    place = {"after_task": after[0], "after_position": after[1], "limit": limit}
    return connection.execute(query, {**wanted.values, **place, "of_version": wanted.version}).all()


def store(connection: Connection, table: str, found: Sequence[Explained]) -> int:
    """Store explanations, and return how many; of a prediction that has been deleted meanwhile none is stored."""
    lock = text(f"""
        SELECT p.task_id, p.position FROM "{table}" AS p
        JOIN unnest(CAST(:task_ids AS uuid[]), CAST(:positions AS integer[])) AS g (task_id, position)
            USING (task_id, position) FOR KEY SHARE OF p
    """)
    places = {"task_ids": [one.task_id for one in found], "positions": [one.position for one in found]}
    there = {(row.task_id, row.position) for row in connection.execute(lock, places)}
    kept = [one._asdict() for one in found if (one.task_id, one.position) in there]
    if kept:
        connection.execute(_INSERT, kept)
    return len(kept)


_INSERT = text("""
INSERT INTO explanations (task_id, position, base, contributions)
VALUES (:task_id, :position, :base, :contributions) ON CONFLICT DO NOTHING
""")


_OF_PLACES = text("""
SELECT task_id, position, base, contributions FROM explanations
JOIN unnest(CAST(:task_ids AS uuid[]), CAST(:positions AS integer[])) AS g (task_id, position) USING (task_id, position)
""")


async def of_places(connection: AsyncConnection, places: Sequence[tuple[UUID, int]]) -> Sequence[Row[Any]]:
    """Return (task_id, position, base, contributions) of those predictions that are explained."""
    given = {"task_ids": [task_id for task_id, _ in places], "positions": [position for _, position in places]}
    return (await connection.execute(_OF_PLACES, given)).all()


async def of_task(connection: AsyncConnection, table: str, task_id: UUID) -> Sequence[Row[Any]]:
    """Return (base, contributions) of each of a task's predictions, in their order; nulls where it is not explained."""
    query = text(f"""
        SELECT base, contributions FROM "{table}" AS p LEFT JOIN explanations USING (task_id, position)
        WHERE p.task_id = :task_id ORDER BY position
    """)
    return (await connection.execute(query, {"task_id": task_id})).all()
