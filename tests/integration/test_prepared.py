"""What every chunk runs is planned once, by primary keys alone, and again after a while."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from psycopg2.errors import UndefinedTable  # type: ignore[import-untyped]
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from uuid_utils.compat import uuid7

from store import prepared, transitions
from store.claims import Claim
from store.engine import WatchedEngine, connect
from store.prepared import PreparedStatement, array
from store.submissions import Submission, accept

ADD = PreparedStatement("SELECT :number + 1", number="int")
LEASE = timedelta(seconds=60)
WAITING = 3_000


@pytest.fixture
def watched(database_url: str) -> Iterator[WatchedEngine]:
    engine = WatchedEngine(database_url, seconds=60, pool_size=1, keeps_plans=True)
    yield engine
    engine.dispose()


def kept(watched: WatchedEngine) -> dict[str, str]:
    with watched.begin(single=True) as connection:
        return dict(
            tuple(row) for row in connection.execute(text("SELECT name, statement FROM pg_prepared_statements"))
        )


def add(watched: WatchedEngine, number: int, *, single: bool = True) -> object:
    with watched.begin(single=single) as connection:
        return ADD.execute(connection, number=number).scalar_one()


@pytest.mark.parametrize("single", [True, False], ids=["a statement by itself", "in a transaction"])
def test_a_plan_is_kept_for_a_while(watched: WatchedEngine, single: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "PLAN_SECONDS", 600.0)
    assert [add(watched, number, single=single) for number in (1, 2, 3)] == [2, 3, 4]
    (first,) = kept(watched)
    monkeypatch.setattr(prepared, "PLAN_SECONDS", 0.0)
    assert add(watched, 4, single=single) == 5
    (second,) = kept(watched)
    assert second != first


def test_a_failure_leaves_nothing_that_a_later_execution_stumbles_over(
    watched: WatchedEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "PLAN_SECONDS", 600.0)
    fetch = PreparedStatement("SELECT 10 / number + :more FROM numbers", more="int")
    with pytest.raises(ProgrammingError) as missing, watched.begin() as connection:
        fetch.execute(connection, more=1)
    assert isinstance(missing.value.orig, UndefinedTable)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE numbers AS SELECT 0 AS number"))
    for _ in range(2):
        with pytest.raises(DBAPIError, match="division by zero"), watched.begin() as connection:
            fetch.execute(connection, more=1)
        assert kept(watched) == {}
    with engine.begin() as connection:
        connection.execute(text("UPDATE numbers SET number = 5"))
    for more in (1, 2):
        with watched.begin() as connection:
            assert fetch.execute(connection, more=more).scalar_one() == 2 + more


def test_a_connection_that_keeps_no_plans_executes_it_as_it_is(database_url: str) -> None:
    engine = connect(database_url)
    with engine.connect() as connection:
        assert ADD.execute(connection, number=1).scalar_one() == 2
        assert connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0
    engine.dispose()


def test_the_plan_of_an_idle_moment_does_not_read_what_waits_later(
    watched: WatchedEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds tasks by their ids, although no task waited and none was started when it was made."""
    with engine.begin() as connection:
        _accept(connection, WAITING)
        connection.execute(text("UPDATE tasks SET status = 'SUCCESS', finished_at = now()"))
        connection.execute(text("DELETE FROM task_inputs"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE tasks, task_inputs"))
    monkeypatch.setattr(prepared, "PLAN_SECONDS", 600.0)
    with watched.begin() as connection:
        assert transitions.claim(connection, "report_scorer", [uuid7()], LEASE, max_inputs=1) == []
        assert transitions.finish(connection, [Claim(uuid7(), 1)], "1") == set()
    with engine.begin() as connection:
        waiting = _accept(connection, WAITING)
    with watched.begin() as connection:
        (claimed,) = transitions.claim(connection, "report_scorer", waiting[:1], LEASE, max_inputs=1)
        assert transitions.finish(connection, [claimed.claim], "1") == {waiting[0]}
        assert 0 < _read(connection) < 20


def _accept(connection: Connection, number: int) -> list[object]:
    ids = [uuid7() for _ in range(number)]
    accept(connection, [Submission(task_id, "report_scorer", b"[]", 1) for task_id in ids])
    return list(ids)


def _read(connection: Connection) -> int:
    """Return how many rows of tasks and their inputs this transaction has read, by index or one after another."""
    counted = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
    read: int = connection.execute(text(f"{counted} WHERE relname IN ('tasks', 'task_inputs')")).scalar_one()
    return read


def test_an_array_is_written_as_postgresql_reads_it(engine: Engine) -> None:
    ids = [uuid7(), uuid7()]
    with engine.connect() as connection:
        row = connection.execute(
            text("SELECT CAST(:ids AS uuid[]), CAST(:none AS uuid[]), CAST(:numbers AS int[])"),
            {"ids": array(ids), "none": array([]), "numbers": array([1, -2])},
        ).one()
    assert tuple(row) == (ids, [], [1, -2])
