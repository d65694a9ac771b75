"""A batch that another version is to score is found by keys, whatever PostgreSQL knows of the versions."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, text

from bench.filling import fill
from bench.promotions import TWIN, add_twin
from models.report_scorer.spec import SPEC
from registry.builtin import register
from store import version_scores
from store.version_scores import FIRST, VersionScore

STORED, BATCH = 20_000, 100

READ = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables
WHERE relname IN ('report_scores', 'version_scores')
"""


def test_a_batch_costs_what_it_has_though_no_statistics_know_its_version(database_url: str, engine: Engine) -> None:
    fill(database_url, STORED)  # of version 0.0.0, which statistics know
    with engine.begin() as connection:
        register(connection)
        add_twin(connection)
        connection.execute(text("UPDATE report_scores SET model_version = '1.0.0'"))
    engine.dispose()  # what a session has read before is not to count
    after, read = FIRST, 0
    for _ in range(3):
        with engine.begin() as connection:
            before = _read(connection)
            rows = _batch(connection, after)
            read = _read(connection) - before
            found = [VersionScore(row.task_id, row.position, 0.5, None, None) for row in rows]
            assert version_scores.store(connection, SPEC.table, (SPEC.name, TWIN), found) == BATCH
        after = (rows[-1].task_id, rows[-1].position)
        assert BATCH <= read < 5 * BATCH


def _batch(connection: Connection, after: tuple[UUID, int]) -> list[Row[Any]]:
    condition, values = "p.model_version = ANY(:scored_by)", {"scored_by": ["1.0.0"]}
    read = (SPEC.table, ["abuse_type"], (SPEC.name, TWIN), condition, after, BATCH, values)
    return list(version_scores.unscored(connection, *read))


def _read(connection: Connection) -> int:
    return int(connection.scalar(text(READ)) or 0)
