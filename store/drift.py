"""How a model's latest scores are spread."""

from collections.abc import Sequence

from sqlalchemy import Connection, Double, Table, cast, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

LATEST = 20_000
"""Predictions; read from the end of the primary key, which is ordered by time."""


def spread(connection: Connection, table: Table, score: str, version: str, edges: Sequence[float]) -> list[int]:
    """Return how many of the version's latest scores lie below the first edge, between two, and above the last."""
    latest = (
        select(table.c[score].label("score"))
        .where(table.c.model_version == version, table.c[score].is_not(None))
        .order_by(table.c.task_id.desc())
        .limit(LATEST)
        .subquery()
    )
    slot = func.width_bucket(latest.c.score, cast(literal(list(edges), ARRAY(Double)), ARRAY(Double))).label("slot")
    counts = {
        row.slot: row.found for row in connection.execute(select(slot, func.count().label("found")).group_by(slot))
    }
    return [counts.get(number, 0) for number in range(len(edges) + 1)]
