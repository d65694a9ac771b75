"""A process whose transaction hangs ends itself, and PostgreSQL lets go of what a frozen one held."""

import subprocess
import sys

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from store.engine import STUCK, WatchedEngine, connect

HANGS = """
import sys
from sqlalchemy import text
from store.engine import WatchedEngine

with WatchedEngine(sys.argv[1], seconds=1).begin() as connection:
    connection.execute(text(sys.argv[2]))
print("answered", flush=True)
"""


def _run(database_url: str, statement: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-c", HANGS, database_url, statement]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_whose_transaction_hangs_ends_and_says_why(database_url: str) -> None:
    run = _run(database_url, "SELECT pg_sleep(50)")
    assert run.returncode == STUCK
    assert "transaction_hangs" in run.stdout + run.stderr


def test_a_process_whose_transactions_are_answered_goes_on(database_url: str) -> None:
    run = _run(database_url, "SELECT 1")
    assert (run.returncode, run.stdout) == (0, "answered\n")


def test_an_exception_takes_back_what_its_transaction_did(engine: Engine, database_url: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE noted (number int)"))
    watched = WatchedEngine(database_url, seconds=60, pool_size=1)
    insert = text("INSERT INTO noted VALUES (:number)")
    with watched.begin() as connection:
        connection.execute(insert, {"number": 1})
    for statement in ("SELECT 1 / 0", "COPY noted FROM PROGRAM 'false'"):
        with pytest.raises(DBAPIError), watched.begin() as connection:  # noqa: PT012 - the first statement succeeds
            connection.execute(insert, {"number": 2})
            connection.execute(text(statement))
    with pytest.raises(KeyError), watched.begin() as connection:  # noqa: PT012
        connection.execute(insert, {"number": 3})
        raise KeyError
    with watched.begin(single=True) as connection:  # on the same session
        connection.execute(insert, {"number": 4})
    with engine.connect() as connection:
        assert list(connection.execute(text("SELECT number FROM noted ORDER BY number")).scalars()) == [1, 4]
    watched.dispose()


def test_a_session_may_not_idle_in_a_transaction_for_long(database_url: str) -> None:
    with connect(database_url).connect() as connection:
        assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "30s"
