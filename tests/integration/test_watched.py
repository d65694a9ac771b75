"""A process whose transaction hangs ends itself, and PostgreSQL lets go of what a frozen one held."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from select import select as select_ready

import pytest
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INTRANS  # type: ignore[import-untyped]
from sqlalchemy import CheckConstraint, Column, Engine, Integer, MetaData, Table, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from store.copying import copy
from store.engine import STUCK, WatchedEngine, connect

HANGS = """
import sys
from sqlalchemy import text
from store.engine import WatchedEngine

with WatchedEngine(sys.argv[1], seconds=float(sys.argv[3])).begin() as connection:
    connection.execute(text(sys.argv[2]))
print("answered", flush=True)
"""


def _run(database_url: str, statement: str, seconds: float) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-c", HANGS, database_url, statement, str(seconds)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_whose_transaction_hangs_ends_and_says_why(database_url: str) -> None:
    run = _run(database_url, "SELECT pg_sleep(50)", 1)
    assert run.returncode == STUCK
    assert "transaction_hangs" in run.stdout + run.stderr


def test_a_process_whose_transactions_are_answered_goes_on(database_url: str) -> None:
    run = _run(database_url, "SELECT 1", 50)
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


def test_several_rows_at_once_are_in_the_transaction_and_a_look_alone_is_none(
    engine: Engine, database_url: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE noted (number int)"))
    watched = WatchedEngine(database_url, seconds=60, pool_size=1)
    with pytest.raises(KeyError), watched.begin():
        raise KeyError
    with pytest.raises(KeyError), watched.begin() as connection:  # noqa: PT012
        connection.execute(text("INSERT INTO noted VALUES (:number)"), [{"number": 1}, {"number": 2}])
        raise KeyError
    with watched.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM noted")) == 0
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.info.transaction_status == TRANSACTION_STATUS_INTRANS
    assert driver.info.transaction_status == TRANSACTION_STATUS_IDLE
    watched.dispose()


def test_rows_that_bring_the_commit_are_stored_with_what_came_before(engine: Engine, database_url: str) -> None:
    noted = Table("noted", MetaData(), Column("number", Integer, CheckConstraint("number < 9")))
    noted.create(engine)
    watched = WatchedEngine(database_url, seconds=60, pool_size=1)
    for number in (2, 9):
        with suppress(DBAPIError), watched.begin() as connection:
            connection.execute(noted.insert().values(number=number - 1))
            copy(connection, noted, {"number": [number]}, commit=True)
    with engine.connect() as connection:
        assert list(connection.execute(select(noted.c.number)).scalars()) == [1, 2]
    watched.dispose()


def test_a_server_that_falls_silent_behind_the_log_in_is_not_waited_for(database_url: str) -> None:
    given = make_url(database_url)
    with mute_at(b"set_config", given.port or 5432) as port:
        begin = time.monotonic()
        with pytest.raises(OperationalError), connect(str(database_url).replace(str(given.port), str(port))).connect():
            pass
    assert time.monotonic() - begin < 60


@contextmanager
def mute_at(word: bytes, target: int) -> Iterator[int]:
    """Pass a connection on to a server until the client says a word; then stay open, and silent."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(30)

    def serve() -> None:
        client, _ = listening.accept()
        server = socket.create_connection(("127.0.0.1", target))
        with client, server:
            while True:
                for ready in select_ready([client, server], [], [], 30)[0]:
                    said = ready.recv(65536)
                    if not said:
                        return
                    if ready is client and word in said:
                        client.recv(1)  # until it hangs up
                        return
                    (server if ready is client else client).sendall(said)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listening:
        yield listening.getsockname()[1]
    thread.join(30)


def test_a_session_may_not_idle_in_a_transaction_for_long(database_url: str) -> None:
    with connect(database_url).connect() as connection:
        assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "30s"
