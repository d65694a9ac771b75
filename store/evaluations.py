"""Stores the figures of live evaluations, and finds the last ones."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.evaluation_tables import evaluations


def add(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store the groups of one run, in their order. This is for the owner: the programs only read."""
    connection.execute(evaluations.insert(), list(rows))


_LAST = text("""
SELECT e.*, split_part(e.grouping, ':', 1) AS kind
FROM (SELECT grouping, max(computed_at) AS computed_at FROM evaluations WHERE model = :model GROUP BY grouping) AS last
JOIN evaluations AS e USING (grouping, computed_at)
WHERE e.model = :model AND split_part(e.grouping, ':', 1) = ANY(CAST(:kinds AS text[]))
ORDER BY e.grouping, e.id
""")


async def last(connection: AsyncConnection, model: str, kinds: Collection[str]) -> list[Row[Any]]:
    """Return the groups of the last run of each grouping of these kinds: all, version, week, client, slice."""
    return list(await connection.execute(_LAST, {"model": model, "kinds": list(kinds)}))
