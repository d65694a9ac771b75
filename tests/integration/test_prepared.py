"""A session plans its statements once, and the plan is good for an empty table, a full one and a changed one."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine, text

from store import transitions
from store.engine import WatchedEngine
from tests.integration.test_claims import add_tasks

LEASE = timedelta(seconds=20)


@pytest.fixture
def watched(database_url: str) -> Iterator[WatchedEngine]:
    watched = WatchedEngine(database_url, 60, pool_size=1, prepare=True)
    yield watched
    watched.dispose()


def score(watched: WatchedEngine, engine: Engine) -> int:
    """Claim a task and finish it, and return how many were claimed."""
    ids = add_tasks(engine)
    with watched.begin(single=True) as connection:
        claimed = transitions.claim(connection, "m", ids, LEASE, max_inputs=9)
    with watched.begin() as connection:
        assert transitions.finish(connection, [task.claim for task in claimed], "1") == set(ids)
    return len(claimed)


def prepared(connection: Connection) -> dict[str, int]:
    rows = connection.execute(text("SELECT name, generic_plans + custom_plans AS plans FROM pg_prepared_statements"))
    return {row.name: row.plans for row in rows}


def test_a_session_prepares_each_statement_once(watched: WatchedEngine, engine: Engine) -> None:
    for _ in range(3):
        assert score(watched, engine) == 1
    with watched.begin() as connection:
        assert list(prepared(connection).values()) == [3, 3]


@pytest.mark.parametrize("size", [0, 100])
def test_behind_a_pooler_nothing_is_prepared(database_url: str, engine: Engine, size: int) -> None:
    pooled = WatchedEngine(f"{database_url}?prepared_statement_cache_size={size}", 60, prepare=True)
    assert score(pooled, engine) == 1
    with pooled.begin() as connection:
        assert prepared(connection) == {}
        assert connection.scalar(text("SHOW enable_seqscan")) == "on"
    pooled.dispose()


def test_the_plan_of_an_empty_table_reads_by_index(watched: WatchedEngine, engine: Engine) -> None:
    assert score(watched, engine) == 1
    with watched.begin() as connection:
        connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        for name in prepared(connection):
            types = connection.execute(
                text("SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = :name"), {"name": name}
            ).scalar_one()
            nothing = ", ".join(f"CAST(NULL AS {kind})" for kind in types)
            plan = "\n".join(connection.execute(text(f"EXPLAIN EXECUTE {name} ({nothing})")).scalars())
            assert "Seq Scan" not in plan
            assert "Index" in plan


def test_a_column_that_a_release_widens_breaks_no_session(watched: WatchedEngine, engine: Engine) -> None:
    assert score(watched, engine) == 1
    with engine.begin() as connection:
        connection.execute(text("DROP VIEW IF EXISTS outcomes_resolved CASCADE"))
        connection.execute(text("ALTER TABLE tasks ALTER n_inputs TYPE bigint, ALTER attempt TYPE bigint"))
    assert score(watched, engine) == 1
