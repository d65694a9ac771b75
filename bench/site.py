"""Designs to measure, each started on embedded servers with a database of its own: Millrace, the plain design."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import redis
from sqlalchemy import make_url, text

from bench import executor
from bench.connection import LoadTarget
from bench.plain.database import Base, engine
from bench.programs import START_SECONDS, free_port, program, wait_until_ready
from devstack.embedded import start_postgres, start_valkey
from migrations.revisions import upgrade
from store import transitions
from store.engine import connect
from store.states import PENDING, status_in

WARM_UP = 20
_AS_ITS_CLIENT = transitions.CANCEL.sets.replace(":client", "client")
CANCEL = f"UPDATE tasks SET {_AS_ITS_CLIENT} WHERE {status_in(PENDING)}"  # noqa: S608 - constants
OPEN_TO_ALL = Path("/var/tmp")  # noqa: S108  PostgreSQL's own account must reach its data


@dataclass(frozen=True)
class Servers:
    postgres_url: str = field(repr=False)  # both hold a password
    redis_url: str = field(repr=False)
    folder: Path
    pids: Mapping[str, int]

    def new_database(self, name: str) -> str:
        """Make a database, and empty Redis. Return the database's URL."""
        admin = connect(self.postgres_url)
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        admin.dispose()
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushdb()
        return make_url(self.postgres_url).set(database=name).render_as_string(hide_password=False)

    def with_redis(self, number: int) -> "Servers":
        """Return the same servers with another of Redis's databases, for a second platform beside the first."""
        return replace(self, redis_url=urlsplit(self.redis_url)._replace(path=f"/{number}").geturl())

    def empty_queues(self) -> None:
        """Delete every message that no worker has yet, and nothing else that Celery keeps in Redis."""
        with redis.Redis.from_url(self.redis_url) as client:
            for queue in client.scan_iter(_type="list"):
                client.delete(queue)


@contextmanager
def servers() -> Iterator[Servers]:
    """Start PostgreSQL and Valkey in a temporary folder, with the settings that `make up` gives them."""
    folder = Path(tempfile.mkdtemp(prefix="millrace-bench-", dir=OPEN_TO_ALL if OPEN_TO_ALL.is_dir() else None))
    folder.chmod(0o755)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = start_postgres(folder / "postgres")
        undo.callback(postgres.stop)
        valkey = start_valkey(folder / "valkey")
        undo.callback(valkey.stop)
        pids = {"postgres": postgres.process.pid, "redis": valkey.process.pid}
        yield Servers(postgres.url, valkey.url, folder, pids)


_STORED = text("SELECT count(*), max(scored_at) FROM report_scores WHERE scored_at > :begin")

StoredCounts: TypeAlias = tuple[int, float]
"""How many scores are stored, and when the last came (seconds since 1970)."""


@dataclass
class Site:
    """A design that runs, and how to ask it for what the yardstick measures."""

    name: str
    target: LoadTarget
    pids: Mapping[str, int]
    stored: Callable[[int], StoredCounts]
    """Asks for what is stored, where each submission had so many inputs."""
    kinds: Mapping[str, str] = field(default_factory=lambda: {"submit": "submit", "score": "predict"})
    """The kind of request that submits a batch, and the one that sees a single report through to its score."""
    cancel: Callable[[], None] = lambda: None
    """Ends what waits, where that is possible."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What its programs were given beside the bench's own; it holds passwords."""
    settle: float = 0.3
    """Seconds without a new score after which nothing is under way any more."""
    patience: float = 5.0
    """Seconds to wait for what cannot be cancelled."""

    def warm_up(self) -> None:
        """See some reports through: a worker that has just come up takes its first message a second or two late."""
        executor.saturate(self.target, self.kinds["score"], 1, connections=1, seconds=START_SECONDS, requests=WARM_UP)

    def abandon(self) -> None:
        """Forget what still waits, so that it does not slow the next measure."""
        self.cancel()
        until = time.monotonic() + self.patience
        count = -1
        while count != (count := self.stored(1)[0]) and time.monotonic() < until:
            time.sleep(self.settle)


@contextmanager
def millrace(
    servers: Servers,
    database: str,
    prepare: Callable[[str], None] = lambda database_url: None,
    **settings: str,
) -> Iterator[Site]:
    """Run handler, worker and rescue as `make up` does, with one worker process unless the settings say more."""
    url = servers.new_database(database)
    upgrade(url)
    prepare(url)
    port = free_port()
    handler = ["uvicorn", "--factory", "handler.app:create_app", "--http=handler.connection:Connection"]
    handler += ["--no-access-log", f"--port={port}"]
    programs = {"handler": handler, "worker": ["worker"], "rescue": ["rescue"]}
    if settings.get("ENGINE") == "pool":
        programs = {"handler": handler}
    environment = {
        "AUTH": "off",
        "WORKER_CONCURRENCY": "1",
        "LOG_LEVEL": "WARNING",
        **settings,
    }
    with _running("millrace", servers, url, port, programs, environment, CANCEL) as site:
        site.warm_up()
        yield site


@contextmanager
def plain(servers: Servers, database: str) -> Iterator[Site]:
    """Run the plain design: one uvicorn on uvloop and httptools, one Celery worker process, as Millrace has."""
    url = servers.new_database(database)
    Base.metadata.create_all(engine(url))
    port = free_port()
    programs = {
        "handler": ["uvicorn", "bench.plain.app:app", "--no-access-log", f"--port={port}"],
        "worker": ["celery", "-A", "bench.plain.worker", "worker", "--concurrency=1", "--loglevel=WARNING"],
    }
    with _running("plain design", servers, url, port, programs, {}, "") as site:
        site.warm_up()
        yield site


@contextmanager
def burn_sync(servers: Servers) -> Iterator[Site]:
    """Run the burn model in the API's own process (`bench.burn.sync`)."""
    port = free_port()
    programs = {"api": ["uvicorn", "bench.burn.sync:app", "--no-access-log", f"--port={port}"]}
    with _running("burn-sync", servers, servers.postgres_url, port, programs, {}, "") as site:
        yield site


@contextmanager
def _running(
    name: str,
    servers: Servers,
    database_url: str,
    port: int,
    programs: Mapping[str, Sequence[str]],
    environment: Mapping[str, str],
    cancel: str,
) -> Iterator[Site]:
    given = {
        "DATABASE_URL": database_url,
        "REDIS_URL": servers.redis_url,
        "OMP_NUM_THREADS": "1",  # as `make up`: threads would fight over the cores
        "PYTHONWARNINGS": "ignore",  # Celery's, of running as root
        **environment,
    }
    with ExitStack() as undo:
        logs = {part: servers.folder / f"{name.replace(' ', '-')}-{part}.log" for part in programs}
        started = {
            part: undo.enter_context(program([sys.executable, "-m", *arguments], given, logs[part]))
            for part, arguments in programs.items()
        }
        wait_until_ready(port, started, logs)
        database = connect(database_url)
        undo.callback(database.dispose)
        pids = {part: process.pid for part, process in started.items()}

        with database.connect() as connection:
            begin = connection.scalar(text("SELECT now()"))

        def stored(size: int) -> StoredCounts:
            with database.connect() as connection:
                count, last = connection.execute(_STORED, {"begin": begin}).one()
            return count, last.timestamp() if last else 0.0

        def forget() -> None:
            servers.empty_queues()
            if cancel:  # or else rescue would bring it back
                with database.begin() as connection:
                    connection.execute(text(cancel))

        yield Site(
            name,
            LoadTarget.of(f"http://127.0.0.1:{port}"),
            {**pids, **servers.pids},
            stored,
            cancel=forget,
            environment=given,
        )
