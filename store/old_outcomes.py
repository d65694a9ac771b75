"""What retention and erasure do to outcomes, draws, other versions' scores, explanations: they go with predictions."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from store.limits import limit_time
from store.matching import KeyOf, is_key
from store.retention import Begin

ROWS = 2_000
"""Outcomes that one transaction looks at."""

SECONDS = 60.0
"""How long a statement may take."""

TABLES = ("outcomes", "draws", "version_scores", "explanations")

_OF_PLACES = """
DELETE FROM {table} AS o USING unnest(CAST(:task_ids AS uuid[]), CAST(:positions AS integer[])) AS g (task_id, position)
WHERE o.task_id = g.task_id AND o.position = g.position
"""


def erase(connection: Connection, places: Collection[tuple[UUID, int]]) -> None:
    """Delete what names these predictions by their tasks and positions."""
    values = {"task_ids": [task_id for task_id, _ in places], "positions": [position for _, position in places]}
    for table in TABLES:
        connection.execute(text(_OF_PLACES.format(table=table)), values)


def erase_key(connection: Connection, model: str, key: str) -> int:
    """Delete the outcomes that have the key, and return how many there were."""
    query = text("DELETE FROM outcomes WHERE model = :model AND key = :key")
    return connection.execute(query, {"model": model, "key": key}).rowcount


def delete_of_tasks(connection: Connection, table: str, ids: Sequence[UUID]) -> None:
    """Delete what is about predictions of these tasks that are gone."""
    for name in TABLES:
        query = text(f"""
            DELETE FROM {name} AS o WHERE o.task_id = ANY(:ids) AND NOT EXISTS (
                SELECT FROM "{table}" AS p WHERE p.task_id = o.task_id AND p.position = o.position
            )
        """)
        connection.execute(query, {"ids": list(ids)})


def delete_old(begin: Begin, model: str, table: str, keys: Sequence[KeyOf], before: datetime) -> int:
    """Delete outcomes that were stored before this time and are about no prediction, and return how many.

    Raises DBAPIError when a statement takes too long.
    """
    same = "p.task_id = o.task_id AND p.position = o.position"
    by_key = "".join(f' AND NOT EXISTS (SELECT FROM "{table}" AS p WHERE {is_key(key, "p", "o.key")})' for key in keys)
    query = text(f"""
        WITH old AS (
            SELECT id FROM outcomes WHERE id > :after AND model = :model AND received_at < :before
            ORDER BY id LIMIT {ROWS}
        ), gone AS (
            DELETE FROM outcomes AS o USING old
            WHERE o.id = old.id AND NOT EXISTS (SELECT FROM "{table}" AS p WHERE {same}) {by_key}
            RETURNING 1
        )
        SELECT max(id) AS last, (SELECT count(*) FROM gone) AS deleted FROM old
    """)
    after: int | None = 0
    deleted = 0
    while after is not None:
        with begin() as connection:
            limit_time(connection, SECONDS)
            row = connection.execute(query, {"after": after, "model": model, "before": before}).one()
        after, deleted = row.last, deleted + row.deleted
    return deleted
