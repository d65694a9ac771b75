"""Those who break Postgres are not broken by it: neither a deadlock nor a fault's own setting ends a fault."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, make_url, text

from devstack.embedded import Postgres, start_postgres
from store.engine import connect
from tests.faults.watching import connect_unaffected, execute
from tests.running import eventually, temporary_open_folder

DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server whose settings a test may change."""
    with temporary_open_folder() as folder:
        postgres = start_postgres(folder)
        yield postgres
        postgres.stop()


@pytest.fixture(scope="module")
def engine(postgres: Postgres) -> Iterator[Engine]:
    engine = connect_unaffected(postgres.url)
    execute(engine, "CREATE TABLE things (id integer PRIMARY KEY)")
    yield engine
    engine.dispose()


def test_a_deadlock_does_not_end_the_rewriting_of_a_table(engine: Engine) -> None:
    rewriting = threading.Thread(target=execute, args=(engine, "REINDEX TABLE things"))
    with engine.connect() as writer:
        writer.execute(text("SET LOCAL deadlock_timeout = '60s'"))  # so that REINDEX notices it first
        writer.execute(text("SELECT FROM things WHERE id = 1"))
        rewriting.start()
        eventually(lambda: _scalar(engine, WAITING))
        writer.execute(text("INSERT INTO things VALUES (1)"))  # waits for REINDEX, which waits for the reader of before
        writer.commit()
    rewriting.join(60)
    assert not rewriting.is_alive()
    eventually(lambda: _scalar(engine, DEADLOCKS) == 1)  # a process tells its counts a moment later


def test_what_a_fault_sets_at_the_server_does_not_reach_those_who_watch(postgres: Postgres, engine: Engine) -> None:
    execute(engine, "CREATE ROLE program LOGIN PASSWORD 'of-a-program'")
    url = make_url(postgres.url).set(username="program", password="of-a-program")
    program = connect(url.render_as_string(hide_password=False))
    for setting in ("default_transaction_read_only = on", "statement_timeout = '10s'"):
        execute(engine, f"ALTER SYSTEM SET {setting}")
    execute(engine, "SELECT pg_reload_conf()")
    eventually(lambda: _scalar(program, "SHOW default_transaction_read_only") == "on")
    assert _scalar(program, "SHOW statement_timeout") == "10s"
    execute(engine, "INSERT INTO things VALUES (2)")
    assert _scalar(engine, "SHOW statement_timeout") == "0"
    program.dispose()


def _scalar(engine: Engine, question: str) -> object:
    with engine.connect() as connection:
        return connection.scalar(text(question))
