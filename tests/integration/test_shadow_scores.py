"""A shadow's newest scores beside the live version's: as `millrace models compare` says, and by index alone."""

from time import monotonic
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import Engine, event, text

from evaluation.shadow import compare_versions
from store.engine import connect_async
from store.shadow_scores import ShadowScores, TwoScores, beside_live

ROWS, NEWEST, TOP, SHOWN = 30_000, 2_000, 100, 10
VERSIONS = ("report_scorer", "1.0.0", "trial")

SHADOW = """
INSERT INTO model_versions (model, version, runtime, schema, manifest, evaluation, digest, created_by, state)
SELECT model, 'trial', runtime, schema, manifest, evaluation, '\\x00', 'test', 'shadow' FROM model_versions
WHERE model = 'report_scorer' AND state = 'live'
"""
PREDICTED = text("""
INSERT INTO report_scores (task_id, position, abuse_type, report_text_len, profile_rating, popularity,
    lifetime_matches_created, score, model_version, scored_at)
SELECT id, 0, 'MSG', 1, 1, 1, 1, score, '1.0.0', now()
FROM unnest(CAST(:ids AS uuid[]), CAST(:scores AS float8[])) AS g (id, score)
""")
SHADOWED = text("""
INSERT INTO version_scores (model, version, task_id, position, score, error)
SELECT 'report_scorer', 'trial', id, 0, score, CASE WHEN score IS NULL THEN 'too strange' END
FROM unnest(CAST(:ids AS uuid[]), CAST(:scores AS float8[])) AS g (id, score)
""")


def seed(engine: Engine, rows: int) -> tuple[list[UUID], Any, Any]:
    """Store two versions' scores, many of them equal; the shadow has failed on the oldest of the newest NEWEST."""
    chance = np.random.default_rng(7)
    ids = [UUID(int=number) for number in range(1, rows + 1)]
    live = chance.random(rows).round(2)
    shadow = np.clip(live + chance.normal(0, 0.1, rows), 0, 1).round(2)
    told: list[float | None] = shadow.tolist()
    if rows > NEWEST:
        told[-NEWEST] = None
    with engine.begin() as connection:
        connection.execute(text(SHADOW))
        connection.execute(PREDICTED, {"ids": ids, "scores": live.tolist()})
        connection.execute(SHADOWED, {"ids": ids, "scores": told})
    return ids, live, shadow


async def looked(database_url: str, planned: list[str] | None = None) -> ShadowScores:
    reader = connect_async(database_url)

    @event.listens_for(reader.sync_engine, "before_cursor_execute", retval=True)
    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> tuple[str, Any]:
        if planned is not None and "version_scores" in statement:
            cursor.execute(f"EXPLAIN {statement}", parameters)
            planned.extend(row[0] for row in cursor.fetchall())
        return statement, parameters

    async with reader.connect() as connection:
        found = await beside_live(connection, ("report_scores", "score"), VERSIONS, NEWEST, TOP, SHOWN)
    await reader.dispose()
    return found


async def test_it_says_of_the_newest_what_the_command_would(database_url: str, engine: Engine) -> None:
    ids, live, shadow = (column[-NEWEST + 1 :] for column in seed(engine, ROWS))
    wanted = compare_versions(live, shadow, TOP)
    found = await looked(database_url)
    assert (found.rows, found.failed) == (NEWEST - 1, 1)
    assert found.correlation is not None
    assert abs(found.correlation - wanted.rank_correlation) < 1e-9
    assert (found.entered, found.left) == (len(wanted.entered), len(wanted.left))
    assert [one.task_id for one in found.entering] == [ids[row] for row in wanted.entered[:SHOWN]]
    assert [one.task_id for one in found.leaving] == [ids[row] for row in wanted.left[:SHOWN]]
    gaps = [abs(one.live_rank - one.new_rank) for one in wanted.disagreements[:SHOWN]]
    assert np.allclose([abs(one.live_rank - one.shadow_rank) for one in found.apart], gaps)
    by_id: dict[UUID, TwoScores] = {one.task_id: one for one in found.apart}
    for one in wanted.disagreements[:3]:
        same = by_id[ids[one.row]]
        assert np.allclose(same[2:], (one.live, one.new, one.live_rank, one.new_rank))


async def test_it_reads_by_index_alone_and_the_newest_only(database_url: str, engine: Engine) -> None:
    seed(engine, ROWS)
    plan: list[str] = []
    began = monotonic()
    await looked(database_url, plan)
    assert monotonic() - began < 60
    assert sum("Index" in line for line in plan) >= 2, plan
    assert not [line for line in plan if "Seq Scan" in line], plan


async def test_without_a_common_row_there_is_nothing_to_compare(database_url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(SHADOW))
    assert await looked(database_url) == ShadowScores(0, 0, None, 0, 0, [], [], [])
