"""How a model's latest scores are histogram."""

from collections.abc import Sequence

from sqlalchemy import Connection, Double, Table, cast, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

LATEST = 20_000
"""Predictions, of whichever version: read from the end of the primary key, which is ordered by time."""


def histogram(connection: Connection, table: Table, score: str, version: str, edges: Sequence[float]) -> list[int]:
    """Return how many of the version's latest scores lie below the first edge, between two, and above the last."""
    read = (
        select(table.c[score].label("score"), table.c.model_version)
        .order_by(table.c.task_id.desc())
        .limit(LATEST)
        .subquery()
    )
    # A version with few predictions would otherwise have the whole table read for more of them.
    latest = select(read.c.score).where(read.c.model_version == version, read.c.score.is_not(None)).subquery()
    slot = func.width_bucket(latest.c.score, cast(literal(list(edges), ARRAY(Double)), ARRAY(Double))).label("slot")
    counts = {
        row.slot: row.found for row in connection.execute(select(slot, func.count().label("found")).group_by(slot))
    }
    return [counts.get(number, 0) for number in range(len(edges) + 1)]
