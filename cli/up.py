"""`millrace up`: the whole platform on this machine, in the foreground, until Ctrl-C."""

import signal
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime
from urllib.error import URLError

import click
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, make_url, select

from cli import embedded, local, ports
from cli.programs import KeepsEnding, Program
from cli.services import services
from cli.up_settings import UpSettings
from migrations.revisions import upgrade
from store import workers
from store.engine import connect
from store.tables import APP
from telemetry.stopping import asked_to_stop

START_SECONDS = 60
STOP_SECONDS = 6
"""Programs that have not stopped by then are killed; the servers, stopped after them, take a second or two."""


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot reach our loopback


class CannotStart(Exception):
    """Something in the way, with the remedy."""


@click.command()
def up() -> None:
    """Run everything on this machine until Ctrl-C."""
    console = Console(highlight=False)
    try:
        settings = UpSettings()
    except ValidationError as error:
        for fault in error.errors():
            console.print(f"millrace up: {str(fault['loc'][0]).upper()} is not valid: {fault['msg']}", markup=False)
        sys.exit(2)
    try:
        _Up(settings, console).run()
    except (
        CannotStart,
        KeepsEnding,
        ports.Taken,
        embedded.StartFailed,
        embedded.AlreadyRunning,
        embedded.PortTaken,
    ) as error:
        console.print(f"[red]millrace up:[/red] {error}", markup=True)
        sys.exit(1)


class _Up:
    def __init__(self, settings: UpSettings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._celery = settings.engine == "celery"
        self._flower_auth = settings.flower_basic_auth or f"millrace:{local.flower_password()}"
        self._postgres: embedded.Postgres | None = None
        self._valkey: embedded.Server | None = None
        self._programs: list[Program] = []
        self._metrics_ports: dict[str, int] = {}

    def run(self) -> None:
        self._stopping = asked_to_stop((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        ports.refuse_taken(
            PORT=self._settings.port, **({"FLOWER_PORT": self._settings.flower_port} if self._celery else {})
        )
        self._metrics_ports = ports.for_metrics(self._settings.metrics_port)
        if not self._celery:
            self._metrics_ports = {"handler": self._metrics_ports["handler"]}
        try:
            self._start()
            if not self._stopping.is_set():
                self._tell()
            while not self._stopping.wait(0.5):
                self._revive()
        finally:
            self._stop()

    def _start(self) -> None:
        with self._console.status("Starting the servers …") as status:
            if self._settings.database_url is None:
                self._postgres = embedded.start_postgres(local.FOLDER / "postgres")
            if self._celery and self._settings.redis_url is None:
                self._valkey = embedded.start_valkey(local.FOLDER / "valkey")
            owner_url, programs_url = self._databases()
            redis_url = self._valkey.url if self._valkey else str(self._settings.redis_url) if self._celery else None
            local.remember(owner_url, redis_url, self._pages())
            status.update("Bringing the schema up to date …")
            upgrade(owner_url, programs_url)
            self._engine = connect(programs_url)
            with self._engine.connect() as connection:
                start = connection.scalar(select(func.now()))
            status.update("Starting the programs …")
            self._programs = services(
                self._settings, programs_url, redis_url, self._metrics_ports, self._flower_auth, STOP_SECONDS
            )
            for program in self._programs:
                program.start()
            status.update("Loading the models …")
            self._wait_until_ready(start)

    def _databases(self) -> tuple[str, str]:
        """Return the URLs of the database's owner, who migrates, and of the programs, who may do less."""
        if self._postgres is not None:
            programs = make_url(self._postgres.url).set(username=APP, password=local.programs_password())
            return self._postgres.url, programs.render_as_string(hide_password=False)
        programs_url = str(self._settings.database_url)
        return str(self._settings.migrations_database_url or programs_url), programs_url

    def _pages(self) -> dict[str, str]:
        pages = {name: f"http://127.0.0.1:{port}/metrics" for name, port in self._metrics_ports.items()}
        metrics = pages["handler"]
        pages["handler"] = f"http://127.0.0.1:{self._settings.port}/health/live"
        if self._celery:
            pages["flower"] = f"http://127.0.0.1:{self._settings.flower_port}/healthcheck"
        else:
            pages["model pool"] = pages["rescue"] = metrics  # the handler's, whose they are
        return pages

    def _wait_until_ready(self, start: datetime | None) -> None:
        """Wait for every program to answer, and for every worker process of this run to have its models loaded."""

        def all_loaded() -> bool:
            with self._engine.connect() as connection:
                return workers.ready_since(connection, start) >= self._settings.worker_concurrency

        def answers(port: int, path: str, headers: dict[str, str]) -> bool:
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
            try:
                with _DIRECT.open(request, timeout=2) as answer:
                    return bool(answer.status == 200)
            except (URLError, OSError):
                return False

        flower = {"Authorization": "Basic " + b64encode(self._flower_auth.encode()).decode()}
        self._until("the models are loaded", all_loaded)
        self._until("the handler is ready", lambda: answers(self._settings.port, "/health/ready", {}))
        if self._celery:
            self._until("Flower answers", lambda: answers(self._settings.flower_port, "/workers", flower))

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + START_SECONDS
        while not condition():
            self._revive()
            if self._stopping.wait(0.05):
                return
            if time.monotonic() > until:
                logs = "\n".join(f"{program.name}:\n{program.last_lines()}" for program in self._programs)
                raise CannotStart(f"waited {START_SECONDS} s until {what}, in vain.\n{logs}")

    def _tell(self) -> None:
        handler, flower = f"http://127.0.0.1:{self._settings.port}", f"http://127.0.0.1:{self._settings.flower_port}"
        table = Table(title="Millrace is ready", title_justify="left", title_style="bold green", show_header=False)
        table.add_row("handler", handler)
        table.add_row("API docs", f"{handler}/docs")
        needed = "needed: .venv/bin/millrace keys create NAME"
        table.add_row("API keys", needed if self._settings.auth == "required" else "not needed (AUTH=off)")
        processes = self._settings.worker_concurrency
        table.add_row(
            "worker" if self._celery else "model pool",
            f"{processes} process{'es' if processes > 1 else ''}, models loaded",
        )
        user, password = self._flower_auth.split(":", 1)
        if self._celery:
            table.add_row("Flower", flower)
            table.add_row("", f"user {user}   password {password}")
        places = [f"{name} http://127.0.0.1:{port}/metrics" for name, port in self._metrics_ports.items()]
        table.add_row("metrics", "\n".join(places))
        table.add_row("SQL", ".venv/bin/millrace psql")
        table.add_row("questions", ".venv/bin/millrace sql")
        table.add_row("logs", f"{local.FOLDER}/logs/*.log")
        self._console.print(table, soft_wrap=True)
        self._console.print(
            "Try it:\n\n"
            f"  curl -s {handler}/predict -H 'Content-Type: application/json' -d '\n"
            '    {"abuse_type": "MSG", "report_text_len": 120, "profile_rating": 4.2,\n'
            '     "popularity": 3, "lifetime_matches_created": 57}\'\n\n'
            f"Ctrl-C stops it all; the data stays in {local.FOLDER}.",
            soft_wrap=True,
        )

    def _revive(self) -> None:
        """Start again whatever has ended by itself."""
        if self._postgres is not None and self._postgres.process.poll() is not None:
            self._say("PostgreSQL ended; starting it again")
            self._postgres.stop()
            self._postgres = embedded.start_postgres(local.FOLDER / "postgres", port=self._postgres.port)
        if self._valkey is not None and self._valkey.process.poll() is not None:
            self._say("Valkey ended; starting it again")
            self._valkey.stop()
            self._valkey = embedded.start_valkey(local.FOLDER / "valkey", port=self._valkey.port)
        for program in self._programs:
            status = program.revive()
            if status is not None:
                self._say(f"{program.name} ended with status {status}; started again (see {program.log})")

    def _stop(self) -> None:
        local.forget()
        until = time.monotonic() + STOP_SECONDS
        with self._console.status("Stopping …"):
            for program in self._programs:
                program.ask_to_stop()
            for program in self._programs:
                if not program.wait(until):
                    program.kill()
            for server in (self._valkey, self._postgres):
                if server is not None:
                    server.stop()
        self._say("stopped")

    def _say(self, what: str) -> None:
        self._console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {what}", soft_wrap=True)
