"""A platform that requires keys, and clients that have some."""

import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from sqlalchemy import Engine

from store import keys
from store.engine import connect
from tests.conftest import Servers, as_app, empty_redis, new_database
from tests.running import Platform

NewClient = Callable[..., httpx.Client]


@pytest.fixture(scope="session")
def closed(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that requires keys and logs everything."""
    logs = tmp_path_factory.mktemp("closed")
    database_url, redis_url = new_database(servers, template), empty_redis(servers, 2)
    settings = {"DATABASE_URL": as_app(database_url), "AUTH": "required", "LOG_LEVEL": "DEBUG"}
    with Platform(database_url, redis_url, logs, **settings) as platform:
        yield platform


@pytest.fixture(scope="session")
def closed_engine(closed: Platform) -> Iterator[Engine]:
    engine = connect(closed.database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def new_client(closed: Platform, closed_engine: Engine) -> Iterator[NewClient]:
    """Return HTTP clients, each with a new key; by default each is a client of its own."""
    opened: list[httpx.Client] = []

    def new(name: str | None = None) -> httpx.Client:
        with closed_engine.begin() as connection:
            key = keys.create(connection, name or f"client-{time.monotonic_ns()}")
        opened.append(httpx.Client(base_url=closed.url, headers={"Authorization": f"Bearer {key}"}, timeout=60))
        return opened[-1]

    yield new
    for client in opened:
        client.close()
