"""What the handler answers when PostgreSQL answers but refuses, and when something else is broken."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, OperationalError
from starlette.requests import Request
from structlog.testing import capture_logs

from handler.http.problem_responses import error_response
from store import outage
from store.engine import connect, connect_async
from store.tables import APP
from tests.conftest import Servers
from tests.running import REPORT, Platform, eventually, handler

ROLE = "refused"


class Server:
    """PostgreSQL as its administrator sees it."""

    def __init__(self, admin: Engine, database: str) -> None:
        self._admin = admin
        self.database = database

    def do(self, *statements: str) -> None:
        with self._admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in statements:
                connection.execute(text(statement))

    def cut(self) -> None:
        """End the programs' sessions, so that they log in again."""
        self.do(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")


@pytest.fixture
def server(servers: Servers, database_url: str) -> Iterator[Server]:
    admin = connect(servers.postgres_url)
    server = Server(admin, str(make_url(database_url).database))
    server.do(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'right'", f"GRANT {APP} TO {ROLE}")
    yield server
    server.do(f"DROP OWNED BY {ROLE}", f"DROP ROLE {ROLE}")
    admin.dispose()


@pytest.fixture
def alone(server: Server, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Platform]:
    url = make_url(database_url).set(username=ROLE, password="right").render_as_string(hide_password=False)
    with handler(url, redis_url, tmp_path) as platform:
        yield platform
    server.cut()


@contextmanager
def locked(engine: Engine) -> Iterator[None]:
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"))
        yield


def submit(alone: Platform) -> httpx.Response:
    return alone.client.post("/submit", json=[REPORT])


def says(ask: Callable[[], httpx.Response], words: str) -> None:
    """Every answer is 503; the first may say that the connection broke."""

    def said() -> bool:
        answer = ask()
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["type"] == "urn:millrace:problem:store-unavailable"
        return words in str(answer.json()["detail"])

    eventually(said)


def test_whatever_postgres_refuses_is_an_outage_and_says_which(alone: Platform, server: Server) -> None:
    assert submit(alone).status_code == 202
    database = server.database
    for refuse, allow, words in (
        (f"ALTER ROLE {ROLE} NOLOGIN", f"ALTER ROLE {ROLE} LOGIN", "refuses this service's log-in"),
        (f"ALTER ROLE {ROLE} PASSWORD 'x'", f"ALTER ROLE {ROLE} PASSWORD 'right'", "refuses this service's log-in"),
        (f"ALTER ROLE {ROLE} CONNECTION LIMIT 0", f"ALTER ROLE {ROLE} CONNECTION LIMIT -1", "no connection left"),
        (
            f"ALTER DATABASE {database} ALLOW_CONNECTIONS false",
            f"ALTER DATABASE {database} ALLOW_CONNECTIONS true",
            "takes no connections",
        ),
        (
            f"ALTER ROLE {ROLE} SET default_transaction_read_only = on",
            f"ALTER ROLE {ROLE} RESET default_transaction_read_only",
            "read-only",
        ),
    ):
        server.do(refuse)
        server.cut()
        says(lambda: submit(alone), words)
        server.do(allow)
        server.cut()
        eventually(lambda: submit(alone).status_code == 202)


def test_rights_locks_and_limits_are_outages_too(alone: Platform, server: Server, engine: Engine) -> None:
    for setting, words in (("lock_timeout = '200ms'", "lock"), ("statement_timeout = '200ms'", "too long")):
        server.do(f"ALTER ROLE {ROLE} SET {setting}")
        server.cut()
        eventually(lambda: submit(alone).status_code == 202)
        with locked(engine):
            says(lambda: submit(alone), words)
            says(lambda: alone.client.get("/tasks"), words)
        assert submit(alone).status_code == 202
        server.do(f"ALTER ROLE {ROLE} RESET ALL")
        server.cut()
    for change, back, words in (
        (f"REVOKE INSERT ON task_inputs FROM {APP}", f"GRANT INSERT ON task_inputs TO {APP}", "denies this service"),
        ("ALTER TABLE webhooks RENAME TO hooks", "ALTER TABLE hooks RENAME TO webhooks", "migrations have not run"),
    ):
        with engine.begin() as connection:
            connection.execute(text(change))
        says(lambda: submit(alone), words)
        with engine.begin() as connection:
            connection.execute(text(back))
        eventually(lambda: submit(alone).status_code == 202)


def test_readiness_names_the_refusal(alone: Platform, server: Server) -> None:
    server.do(f"ALTER ROLE {ROLE} NOLOGIN")
    server.cut()

    def named() -> bool:
        ready = alone.client.get("/health/ready")
        assert ready.status_code == 503
        return "refuses this service's log-in" in str(ready.json()["postgres"])

    eventually(named)


@pytest.mark.parametrize(
    "error", [FileNotFoundError("manifest.json"), TimeoutError(), KeyError("n"), InvalidRequestError("a wrong query")]
)
def test_what_is_not_the_database_is_not_called_the_database(error: Exception) -> None:
    scope = {"type": "http", "method": "GET", "path": "/broken", "headers": [], "query_string": b""}
    with capture_logs() as logged:
        answer = error_response(Request(scope), error, Counter())
    said = json.loads(answer.body)
    assert (answer.status_code, said["type"]) == (500, "urn:millrace:problem:internal-error")
    assert "atabase" not in said["detail"]
    assert "retry-after" not in answer.headers
    assert [(line["event"], line["exc_info"]) for line in logged] == [("request_failed", error)]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:5432"])
async def test_what_a_driver_says_without_a_server_is_an_outage(address: str) -> None:
    url = f"postgresql://somebody:secret@{address}/millrace"
    engine = connect_async(url)
    with pytest.raises(OperationalError) as asynchronous:
        async with engine.connect():
            pass
    with pytest.raises(OperationalError) as synchronous:
        connect(url).connect()
    assert outage.reason(asynchronous.value) == outage.reason(synchronous.value) == outage.UNREACHABLE


async def test_a_database_that_is_not_there_is_an_outage(database_url: str) -> None:
    engine = connect_async(make_url(database_url).set(database="nowhere").render_as_string(hide_password=False))
    with pytest.raises(DBAPIError) as missing:
        async with engine.connect():
            pass
    assert outage.reason(missing.value) == "The database does not exist"


async def test_a_statement_that_gets_no_answer_is_an_outage(database_url: str) -> None:
    engine = connect_async(database_url, timeout=2)  # what begins a session is answered by then
    async with engine.connect() as connection:
        with pytest.raises(OperationalError) as slow:
            await connection.execute(text("SELECT pg_sleep(50)"))
    assert outage.reason(slow.value) == outage.UNREACHABLE
    await engine.dispose()


async def test_a_connection_that_takes_no_transaction_is_given_up(database_url: str) -> None:
    """As it is left when PostgreSQL cancels a BEGIN: asyncpg believes in a transaction, and there is none."""
    engine = connect_async(database_url, pool_size=1)
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.transaction().start()
        await driver.execute("ROLLBACK")
    with pytest.raises(DBAPIError) as refused:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT 1"))
    assert outage.reason(refused.value) == "The connection to the database broke"
    async with engine.begin() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1
    await engine.dispose()
