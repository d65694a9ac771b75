"""What several files use: deliverers of webhooks, embedded servers, rows for analysts."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from devstack.embedded import ServerProcess, start_postgres, start_valkey
from tests.callbacks import StartDeliverer
from tests.conftest import as_app
from tests.embedded import Start
from tests.receiving import SECRET
from tests.running import Program, temporary_open_folder
from tests.seeding import Seed


@pytest.fixture
def start_deliverer(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[StartDeliverer]:
    """Starts a deliverer."""
    environment = {
        "DATABASE_URL": as_app(database_url),
        "REDIS_URL": redis_url,
        "WEBHOOK_SECRET": SECRET,
        "LOG_LEVEL": "DEBUG",
        "WEBHOOK_ALLOW_PRIVATE": "true",
        "WEBHOOK_SWEEP_SECONDS": "0.2",
    }
    started: list[Program] = []

    def start(**settings: str) -> Program:
        program = Program("webhooks", ["webhooks"], {**environment, **settings}, tmp_path)
        started.append(program)
        return program

    yield start
    for program in started:
        program.stop()
    printed = "".join({program.log.read_text() for program in started})
    assert "Traceback" not in printed
    assert SECRET.removeprefix("whsec_") not in printed
    assert "token-of-the-receiver" not in printed


@pytest.fixture
def seed(engine: Engine) -> Iterator[Seed]:
    """Rows for analysts in a transaction that is rolled back."""
    with engine.connect() as connection:
        yield Seed(connection)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with temporary_open_folder() as folder:
        yield folder


@pytest.fixture(scope="module", params=[start_postgres, start_valkey])
def running(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """One server of each kind, for the tests that only look at it."""
    with temporary_open_folder() as folder:
        server = request.param(folder / "server")
        yield server
        server.stop()


@pytest.fixture
def started(open_folder: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start servers (in `open_folder`/server unless told otherwise) and stop them all afterwards."""
    servers: list[ServerProcess] = []

    def start_and_note(start: Start, folder: Path | None = None, **options: int) -> ServerProcess:
        servers.append(start(folder or open_folder / "server", **options))
        return servers[-1]

    yield start_and_note
    for server in servers:
        server.stop()
