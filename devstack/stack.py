"""Runs the whole platform on this machine, in the foreground, until it is asked to stop."""

import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

import redis
from alembic.util import CommandError
from rich.console import Console
from sqlalchemy import Engine, func, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError

from broker.address import UnusableRedis, refuse_cluster
from devstack import causes, embedded, local, ports, ready, tether
from devstack.errors import CannotStart, StartFailed
from devstack.log_file import LogFile
from devstack.programs import Program
from devstack.servers import ServerPart
from devstack.services import services
from devstack.settings import UpSettings
from devstack.supervisor import Supervisor
from devstack.table import places
from migrations.revisions import upgrade
from registry import builtin
from store.engine import connect
from store.tables import APP
from telemetry.shutdown import shutdown_event

START_SECONDS = 60
STOP_SECONDS = 6
"""Programs that have not stopped by then are killed; the servers, stopped after them, take a second or two."""


class Stack:
    """The servers and programs of one `make up`, from start to stop."""

    def __init__(self, settings: UpSettings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._celery = settings.engine == "celery"
        self._postgres: ServerPart | None = None
        self._valkey: ServerPart | None = None
        self._programs: list[Program] = []
        self._metrics_ports: dict[str, int] = {}
        self._unloaded: dict[str, str] = {}
        self._untried: list[tuple[str, str]] = []
        self._supervisor = Supervisor(self._say, local.note_failing)

    def run(self) -> None:
        self._stopping = shutdown_event((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        ports.refuse_taken(
            PORT=self._settings.port, **({"FLOWER_PORT": self._settings.flower_port} if self._celery else {})
        )
        given = ports.for_metrics(self._settings.metrics_port)
        run = {*(given if self._celery else ["handler"])} - {"export"}
        run |= {"export"} if self._settings.export_url else set()
        self._metrics_ports = {name: port for name, port in given.items() if name in run}
        local.FOLDER.mkdir(parents=True, exist_ok=True)
        with tether.take(local.FOLDER):
            self._run()

    def _run(self) -> None:
        local.empty_temporary()
        self._flower_auth = self._settings.flower_basic_auth or f"millrace:{local.flower_password()}"
        try:
            self._start()
            if not self._stopping.is_set():
                self._tell()
            while not self._stopping.wait(0.5):
                self._supervisor.turn()
        except StartFailed:
            if not self._stopping.is_set():  # else it was asked to stop before it was ready
                raise
        finally:
            self._stop()
        self._say("stopped")

    def _start(self) -> None:
        give_up = self._stopping.is_set
        with self._console.status("Starting the servers …") as status:
            if self._settings.database_url is None:
                self._postgres = ServerPart("PostgreSQL", local.FOLDER / "postgres", embedded.start_postgres, give_up)
                self._postgres.start()
                self._supervisor.watch([self._postgres])
            if self._celery and self._settings.redis_url is None:
                self._valkey = ServerPart("Valkey", local.FOLDER / "valkey", embedded.start_valkey, give_up)
                self._valkey.start()
                self._supervisor.watch([self._valkey])
            owner_url, programs_url = self._databases()
            redis_url = self._redis()
            local.remember(owner_url, redis_url, self._pages())
            status.update("Bringing the schema up to date …")
            if (start := self._migrated(owner_url, programs_url)) is None:
                return
            status.update("Starting the programs …")
            self._programs = services(
                self._settings, programs_url, redis_url, self._metrics_ports, self._flower_auth, STOP_SECONDS
            )
            for program in self._programs:
                program.start()
            self._supervisor.watch(self._programs)
            status.update("Loading the models …")
            self._wait_until_ready(connect(programs_url), start)

    def _databases(self) -> tuple[str, str]:
        """Return the URLs of the database's owner, who migrates, and of the programs, who may do less."""
        if self._postgres is not None:
            programs = make_url(self._postgres.url).set(username=APP, password=local.programs_password())
            return self._postgres.url, programs.render_as_string(hide_password=False)
        programs_url = str(self._settings.database_url)
        return str(self._settings.migrations_database_url or programs_url), programs_url

    def _redis(self) -> str | None:
        """Return Redis's URL; raise CannotStart where the one that was given does not answer."""
        if self._valkey is not None or not self._celery:
            return self._valkey.url if self._valkey else None
        url = str(self._settings.redis_url)
        try:
            refuse_cluster(url)
            with redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
                client.ping()
        except (UnusableRedis, redis.RedisError) as error:
            raise causes.of_redis(error, "REDIS_URL") from error
        return url

    def _migrated(self, owner_url: str, programs_url: str) -> datetime | None:
        """Bring the schema up to date and return the database's time; None when asked to stop meanwhile."""
        found: list[datetime | Exception] = []

        def migrate() -> None:
            setting = None
            try:
                if self._postgres is None:
                    setting = "MIGRATIONS_DATABASE_URL" if self._settings.migrations_database_url else "DATABASE_URL"
                upgrade(owner_url, programs_url)
                setting = setting and "DATABASE_URL"
                with connect(programs_url).connect() as connection:
                    now = connection.scalars(select(func.now())).one()
                    found.append(causes.of_specs(connection) or now)
            except (DBAPIError, ArgumentError) as error:
                found.append(causes.of_database(error, setting))
            except CommandError as error:
                found.append(causes.of_schema(error))
            except Exception as error:
                found.append(error)

        # In a thread: a migration that waits for a lock in the database must still react to Ctrl-C.
        migrating = threading.Thread(target=migrate, name="migration", daemon=True)
        migrating.start()
        while migrating.is_alive() and not self._stopping.is_set():
            migrating.join(0.1)
        if self._stopping.is_set():
            return None
        if isinstance(found[0], Exception):
            raise found[0]
        return found[0]

    def _pages(self) -> dict[str, str]:
        pages = {name: f"http://127.0.0.1:{port}/metrics" for name, port in self._metrics_ports.items()}
        metrics = pages["handler"]
        pages["handler"] = f"http://127.0.0.1:{self._settings.port}/health/live"
        if self._celery:
            pages["flower"] = f"http://127.0.0.1:{self._settings.flower_port}/healthcheck"
        else:
            pages["model pool"] = pages["rescue"] = metrics  # the handler's, whose they are
        return pages

    def _wait_until_ready(self, engine: Engine, start: datetime) -> None:
        """Wait for every program to answer, and for every worker process of this run to have its models loaded."""
        handler, *others = self._programs
        address = f"http://127.0.0.1:{self._settings.port}/health/ready"
        loaded = partial(ready.all_loaded, engine, start, self._settings.worker_concurrency)
        self._until("no worker process has its models loaded", others[0] if self._celery else handler, loaded)
        self._until("it is not ready", handler, partial(ready.answers, address))
        for program in others:
            if (port := self._metrics_ports.get(program.name)) is not None:
                page = f"http://127.0.0.1:{port}/metrics"
                self._until("it does not answer", program, partial(ready.answers, page))
        if self._celery:
            address = f"http://127.0.0.1:{self._settings.flower_port}/workers"
            self._until("it does not answer", others[-1], partial(ready.answers, address, self._flower_auth))
        self._unloaded = ready.unloaded(engine, start)
        with engine.connect() as connection:
            self._untried = builtin.untried(connection)

    def _until(self, otherwise: str, program: Program, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + START_SECONDS
        while not condition():
            if (part := self._supervisor.ended()) is not None:
                raise CannotStart(_with_log(f"{part.name} ended before it was ready: {part.log.cause()}", part.log))
            if self._stopping.wait(0.05):
                return
            if time.monotonic() > until:
                raise CannotStart(_with_log(f"{program.name}: {otherwise} after {START_SECONDS} s", program.log))

    def _tell(self) -> None:
        handler = f"http://127.0.0.1:{self._settings.port}"
        table = places(self._settings, self._metrics_ports, self._flower_auth, self._unloaded)
        self._console.print(table, soft_wrap=True)
        for model, version in self._untried:
            self._console.print(
                f"{model} {version} is a candidate. Make it live: millrace models promote {model}@{version}",
                soft_wrap=True,
            )
        self._console.print(
            "Try it:\n\n"
            f"  curl -s {handler}/predict -H 'Content-Type: application/json' -d '\n"
            '    {"abuse_type": "MSG", "report_text_len": 120, "profile_rating": 4.2,\n'
            '     "popularity": 3, "lifetime_matches_created": 57}\'\n\n'
            f"Ctrl-C stops it all; the data stays in {local.FOLDER}.",
            soft_wrap=True,
        )

    def _stop(self) -> None:
        local.forget()
        until = time.monotonic() + STOP_SECONDS
        with self._console.status("Stopping …"):
            for program in self._programs:
                program.ask_to_stop()
            for program in self._programs:
                program.stop(until)
            for server in (self._valkey, self._postgres):
                if server is not None:
                    server.stop()

    def _say(self, what: str) -> None:
        self._console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {what}", soft_wrap=True)


def _with_log(why: str, log: LogFile) -> str:
    lines = log.last_lines()
    return f"{why}\nThe last lines of {log.path}:\n{lines}" if "\n" in lines else why
