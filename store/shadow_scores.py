"""What versions that are not live say: a shadow of the newest inputs beside the live version, and all of one task.

Indexes give both, so that the cost does not grow with the tables.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store import matching
from store.tasks import BY_INDEX


class TwoScores(NamedTuple):
    """An input that both versions have scored. Ranks are shares: 1 is the highest score, 0 the lowest."""

    task_id: UUID
    position: int
    live: float
    shadow: float
    live_rank: float
    shadow_rank: float


class ShadowScores(NamedTuple):
    """How alike the versions order the inputs that both have scored."""

    rows: int
    failed: int
    """Inputs that the shadow could not score."""
    correlation: float | None
    """Spearman's; None where a version gives one score to all."""
    entered: int
    left: int
    """How many inputs only the shadow, or only the live version, has among its `top` highest."""
    entering: Sequence[TwoScores]
    leaving: Sequence[TwoScores]
    """The first of these, the highest first."""
    apart: Sequence[TwoScores]
    """Those with the largest differences of rank, the largest first."""


_OF_TASK = text("""
SELECT position, version, score, label, error FROM version_scores WHERE task_id = :task_id
ORDER BY position, version LIMIT :most
""")


async def of_task(connection: AsyncConnection, task_id: UUID, most: int) -> Sequence[Row[Any]]:
    """Return (position, version, score, label, error) of what other versions say of a task's first inputs."""
    await connection.execute(matching.BY_INDEX)
    return (await connection.execute(_OF_TASK, {"task_id": task_id, "most": most})).all()


def _query(table: str, score: str) -> str:
    """Return the query; of equal scores the earlier input counts as the higher one, as in evaluation.shadow."""
    return f"""
        WITH newest AS MATERIALIZED (
            SELECT task_id, position, score FROM version_scores WHERE model = :model AND version = :shadow
            ORDER BY task_id DESC, position DESC LIMIT :newest
        ), scored AS MATERIALIZED (
            SELECT n.task_id, n.position, p."{score}" AS live, n.score AS shadow
            FROM newest AS n JOIN "{table}" AS p ON p.task_id = n.task_id AND p.position = n.position
            WHERE n.score IS NOT NULL AND p."{score}" IS NOT NULL AND p.model_version = :live
        ), ranked AS MATERIALIZED (
            SELECT *, {_rank("live")} AS live_rank, {_rank("shadow")} AS shadow_rank,
                row_number() OVER (ORDER BY live DESC, task_id, position) <= :top AS top_live,
                row_number() OVER (ORDER BY shadow DESC, task_id, position) <= :top AS top_shadow
            FROM scored
        )
        SELECT 'facts' AS part, NULL AS task_id, NULL AS position, NULL AS live, NULL AS shadow,
            corr(live_rank, shadow_rank) AS live_rank, NULL AS shadow_rank, count(*) AS rows,
            (SELECT count(*) FROM newest WHERE score IS NULL) AS failed,
            count(*) FILTER (WHERE top_shadow AND NOT top_live) AS entered,
            count(*) FILTER (WHERE top_live AND NOT top_shadow) AS "left"
        FROM ranked
        UNION ALL (SELECT 'entering', {_ROW} FROM ranked WHERE top_shadow AND NOT top_live
            ORDER BY shadow DESC, task_id, position LIMIT :shown)
        UNION ALL (SELECT 'leaving', {_ROW} FROM ranked WHERE top_live AND NOT top_shadow
            ORDER BY live DESC, task_id, position LIMIT :shown)
        UNION ALL (SELECT 'apart', {_ROW} FROM ranked WHERE live_rank <> shadow_rank
            ORDER BY abs(live_rank - shadow_rank) DESC, task_id, position LIMIT :shown)
    """


def _rank(score: str) -> str:
    """Return a score's rank as a share of the rows, equal scores sharing the mean of theirs."""
    return f"""(rank() OVER (ORDER BY {score}) - 1 + (count(*) OVER (PARTITION BY {score}) - 1) / 2.0)
                / greatest(1, count(*) OVER () - 1)::double precision"""


_ROW = "task_id, position, live, shadow, live_rank, shadow_rank, NULL, NULL, NULL, NULL"


async def beside_live(
    connection: AsyncConnection,
    place: tuple[str, str],
    versions: tuple[str, str, str],
    newest: int,
    top: int,
    shown: int,
) -> ShadowScores:
    """Compare the shadow's newest scores with the predictions of the live version.

    `place` is the table and its column with the score, `versions` the model, its live version and the shadow. Of movers
    and disagreements so many are `shown`.
    """
    model, live, shadow = versions
    values: dict[str, Any] = {"model": model, "live": live, "shadow": shadow, "newest": newest}
    await connection.execute(matching.BY_INDEX)
    await connection.execute(BY_INDEX)
    rows = (await connection.execute(text(_query(*place)), {**values, "top": top, "shown": shown})).all()
    parts: dict[str, list[TwoScores]] = {"entering": [], "leaving": [], "apart": []}
    for part, *row in rows:
        if part in parts:
            parts[part].append(TwoScores(*row[:6]))
    facts = next(row for row in rows if row.part == "facts")
    return ShadowScores(
        facts.rows, facts.failed, facts.live_rank, facts.entered, facts.left, *(parts[name] for name in parts)
    )
