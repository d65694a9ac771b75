"""Real servers for every test: one PostgreSQL and one Valkey a run, a fresh database a test.

Two platforms run for the whole session: `platform`, which anybody may use, and `closed`, which requires keys.
"""

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis
from sqlalchemy import Engine, make_url, text

from devstack.embedded import start_postgres, start_valkey
from migrations.revisions import upgrade
from store import keys
from store.engine import connect
from store.tables import APP
from tests.running import Platform, temporary_open_folder

LONG = frozenset(
    [
        "test_alive",
        "test_audit",
        "test_autoscale",
        "test_bad_models",
        "test_bench",
        "test_bench_executor",
        "test_code_model",
        "test_commands_in_images",
        "test_dashboards_live",
        "test_database_outage",
        "test_demo",
        "test_embedded",
        "test_embedded_as_root",
        "test_embedded_ends",
        "test_evaluation_weighting",
        "test_export_program",
        "test_failover",
        "test_gate",
        "test_image_classifier_sibling",
        "test_inference_protocol_refusals",
        "test_interleavings",
        "test_jobs",
        "test_killed",
        "test_linear",
        "test_many_models",
        "test_mixed",
        "test_model_swap",
        "test_monitoring",
        "test_openapi",
        "test_overload",
        "test_own_model",
        "test_pool_engine",
        "test_pool_faults",
        "test_pool_metrics",
        "test_pool_package",
        "test_pool_storm",
        "test_pool_versions",
        "test_redis_user",
        "test_release_before",
        "test_remote_model",
        "test_restore",
        "test_retain",
        "test_rolling_restart",
        "test_runtimes",
        "test_soak",
        "test_sql_command",
        "test_submit_command",
        "test_tensors_beside",
        "test_turns",
        "test_versions_over_http",
        "test_widened",
    ]
)
"""The files that `make test-long` runs, beside all of tests/e2e."""

_numbers = itertools.count()

APP_PASSWORD = "the-programs-password"

NewClient = Callable[..., httpx.Client]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in LONG or item.path.parent.name == "e2e":
            item.add_marker("long")


@dataclass(frozen=True)
class Servers:
    postgres_url: str
    redis_url: str
    logs: tuple[Path, ...] = ()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with temporary_open_folder() as folder:
        postgres = start_postgres(folder / "postgres")
        valkey = start_valkey(folder / "valkey")
        yield Servers(postgres.url, valkey.url, (postgres.log.path, valkey.log.path))
        valkey.stop()
        postgres.process.send_signal(signal.SIGQUIT)  # at once: hundreds of databases would be written for nobody
        postgres.stop()


@pytest.fixture(scope="session")
def template(servers: Servers) -> str:
    """A migrated database to copy: ten times as fast as migrating one for each test."""
    url = create_database(servers, "template_millrace")
    upgrade(url, as_app(url))
    return "template_millrace"


@pytest.fixture
def database_url(servers: Servers, template: str) -> str:
    return new_database(servers, template)


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """The last of Redis's databases, empty."""
    return empty_redis(servers, 15)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def platform(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A handler, a worker and rescue that run for the whole session. Tests on it may not stop or break it."""
    logs, url = tmp_path_factory.mktemp("platform"), new_database(servers, template)
    with Platform(url, empty_redis(servers, 1), logs, WORKER_MODELS="", DATABASE_URL=as_app(url)) as platform:
        yield platform


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
    """Return HTTP clients, each with a new key; by default each is a client of its own that submits."""
    opened: list[httpx.Client] = []

    def new(name: str | None = None, role: keys.Role = keys.Role.SUBMIT) -> httpx.Client:
        with closed_engine.begin() as connection:
            key = keys.create(connection, name or f"client-{time.monotonic_ns()}", role)
        opened.append(httpx.Client(base_url=closed.url, headers={"Authorization": f"Bearer {key}"}, timeout=60))
        return opened[-1]

    yield new
    for client in opened:
        client.close()


def as_app(database_url: str) -> str:
    """Return the URL by which the programs log in: those of the shared platforms all run without the owner's rights."""
    url = make_url(database_url).set(username=APP, password=APP_PASSWORD)
    return url.render_as_string(hide_password=False)


def new_database(servers: Servers, template: str) -> str:
    return create_database(servers, f"test_{next(_numbers)}", template)


def create_database(servers: Servers, name: str, template: str = "template1") -> str:
    """Make a database, which is empty unless it copies a template, and return its URL."""
    admin = connect(servers.postgres_url)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    admin.dispose()
    return _url(servers, name)


def _url(servers: Servers, database: str) -> str:
    return make_url(servers.postgres_url).set(database=database).render_as_string(hide_password=False)


def empty_redis(servers: Servers, number: int) -> str:
    url = servers.redis_url.removesuffix("/0") + f"/{number}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url
