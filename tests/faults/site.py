"""Everything that runs in a fault test: servers, proxies before them, and programs that are started again."""

import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil  # type: ignore[import-untyped]
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from devstack.embedded import start_postgres, start_valkey
from migrations.revisions import upgrade
from serving.catalogue import specs
from store import keys
from tests.conftest import as_app
from tests.faults.proxy import Proxy
from tests.faults.watching import connect_unaffected
from tests.processes import descendants, resident
from tests.receiving import SECRET, receiving
from tests.release import unpack
from tests.running import ROOT, Program, eventually, free_port, serving

DATABASE_TIMEOUT = 8.0
QUICK = {
    "WORKER_MODELS": "",
    "WORKER_CONCURRENCY": "1",
    "OMP_NUM_THREADS": "1",
    "AUTH": "off",
    "LEASE_SECONDS": "2",
    "RESCUE_INTERVAL_SECONDS": "0.5",
    "REPUBLISH_AFTER_SECONDS": "2",
    "DATABASE_TIMEOUT_SECONDS": str(DATABASE_TIMEOUT),
    "WEBHOOK_SECRET": SECRET,
    "WEBHOOK_ALLOW_PRIVATE": "true",
    "WEBHOOK_SWEEP_SECONDS": "2",
    "WEBHOOK_TIMEOUT_SECONDS": "2",
    # A stream of good inputs under faults at this rate: none of them is to blame when its worker dies again and again.
    "MAX_ATTEMPTS": "20",
}
LEASE = 2.0
HANDLERS = ("handler-1", "handler-2")
WORKERS = ("worker-1", "worker-2")
RECOVERY = 120
"""Seconds within which everything has to be final after the last fault."""
CALLBACKS = 100
"""Seconds within which every receiver has to be told: a deliverer that was killed has its callbacks for 32 s more, and
what failed is tried again after 5 and after 30 s."""


class Site:
    """Two handlers, two workers, rescue and webhooks; they reach the servers, and clients reach them, by proxies.

    With ENGINE=pool the handlers are their own workers.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.postgres = start_postgres(folder / "postgres")
        self.valkey = start_valkey(folder / "valkey")
        programs_url = as_app(self.postgres.url)
        upgrade(self.postgres.url, programs_url)
        self.to_postgres, self.to_redis = Proxy(self.postgres.port), Proxy(self.valkey.port)
        self.engine = connect_unaffected(self.postgres.url)
        self.ports = {name: free_port() for name in HANDLERS}
        self.fronts = [Proxy(port) for port in self.ports.values()]
        self.urls = [f"http://127.0.0.1:{front.port}" for front in self.fronts]
        self._settings = {
            **QUICK,
            "DATABASE_URL": _through(programs_url, self.to_postgres),
            "REDIS_URL": _through(self.valkey.url, self.to_redis),
            "PYTHONPATH": str(Path(__file__).parent / "clock"),
            **settings,
        }
        self.key: str | None = None
        """The API key that clients send, where they need one."""
        if settings.get("AUTH") == "required":
            with self.engine.begin() as connection:
                self.key = keys.create(connection, "stream")
        self.is_pooled = settings.get("ENGINE") == "pool"
        self.workers = HANDLERS if self.is_pooled else WORKERS
        self.programs: dict[str, Program] = {}
        self.roots: dict[str, Path] = {}
        """Where a program's code is, if it is not this release's."""
        self.receiving = ExitStack()
        self.receiver = self.receiving.enter_context(receiving())
        self.orphans: list[psutil.Process] = []
        """Processes of killed workers: nobody waits for them, and they end when they please."""
        self.one_at_postgres, self.one_at_redis = threading.Lock(), threading.Lock()
        """Held by what restarts a server, and by what could not work while one does."""
        self._stopping = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        for name in HANDLERS if self.is_pooled else (*HANDLERS, *WORKERS, "rescue", "webhooks"):
            self.programs[name] = self._start(name)
        self._supervisor.start()
        self.wait_until_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._supervisor.join()
        with ThreadPoolExecutor() as at_once:
            list(at_once.map(Program.stop, self.programs.values()))
        for orphan in self.orphans:
            with suppress(psutil.NoSuchProcess):
                orphan.kill()
        self.engine.dispose()
        self.receiving.close()
        for proxy in (self.to_postgres, self.to_redis, *self.fronts):
            proxy.stop()
        self.valkey.stop()
        self.postgres.stop()

    def clock_of(self, name: str) -> Path:
        """Return the file that says by how many seconds this program's clock is wrong."""
        return self.folder / f"{name}.clock"

    def children_of(self, worker: str) -> list[psutil.Process]:
        return descendants(self.programs[worker].pid, *(["spawn_main"] if self.is_pooled else []))

    def restart_postgres(self) -> None:
        self.postgres.stop()
        self.postgres = start_postgres(self.postgres.folder, port=self.postgres.port)

    def restart_redis(self) -> None:
        self.valkey.stop()
        (self.folder / "valkey" / "data" / "dump.rdb").unlink(missing_ok=True)
        self.valkey = start_valkey(self.folder / "valkey", port=self.valkey.port)

    def wait_until_ready(self) -> None:
        eventually(lambda: all(_is_ready(url) for url in self.urls), within=RECOVERY, every=0.2)

    def recovery(self, within: float = RECOVERY) -> float:
        """Wait until everything that is accepted by now is final; return the seconds that it took."""
        start = time.monotonic()
        now = self._answer("SELECT clock_timestamp()")
        ongoing = (
            "(SELECT count(*) FROM tasks WHERE status = '{}' AND submitted_at <= :now)"  # of one state: by an index
        )
        unfinished = f"SELECT {ongoing.format('PENDING')} + {ongoing.format('STARTED')}"
        eventually(lambda: self._answer(unfinished, now=now) == 0, within=within, every=0.1)
        return time.monotonic() - start

    def wait_for_callbacks(self) -> None:
        """Wait until every receiver of a task that has ended was told, or given up."""
        waiting = "SELECT count(*) FROM webhooks WHERE delivered_at IS NULL AND given_up_at IS NULL"
        eventually(lambda: self._answer(waiting) == 0, within=CALLBACKS, every=0.2)

    def told(self) -> list[bytes]:
        return [received.body for received in self.receiver.received]

    def release_before(self) -> Path:
        """Return the code of the release before. Raises NoHistory."""
        folder = self.folder / "release"
        return folder if folder.exists() else unpack(folder)

    def memory(self) -> dict[tuple[str, int], int]:
        """Return the resident bytes of each program with all its processes, by its name and process id."""
        used = {}
        for name, program in self.programs.items():
            with suppress(psutil.NoSuchProcess):
                used[name, program.pid] = sum(resident(program.pid))
        return used

    def started(self) -> set[tuple[object, int]]:
        """Return the claims that workers hold at this moment."""
        with self.engine.connect() as connection:
            return {
                tuple(row) for row in connection.execute(text("SELECT id, attempt FROM tasks WHERE status = 'STARTED'"))
            }

    def forget(self) -> None:
        """Empty the tables between two tests."""
        with self.engine.begin() as connection:
            tables = ", ".join(spec.table for spec in specs().values())
            connection.execute(text(f"TRUNCATE tasks, {tables} CASCADE"))
        self.receiver.received.clear()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def deaf_workers(self) -> list[str]:
        """Return the workers that take no messages although there are some; one that was killed may start first."""
        before = {worker: self.log(worker).count("chunk_scored") for worker in self.workers}
        until = time.monotonic() + RECOVERY
        while deaf := [worker for worker, count in before.items() if self.log(worker).count("chunk_scored") == count]:
            if time.monotonic() > until:
                break
            time.sleep(0.2)
        return deaf

    def zombie_results(self, worker: str) -> int:
        """Count the tasks that this worker scored after they had been taken away from it."""
        return sum(int(discarded) for discarded in re.findall(r"discarded=(\d+)", self.log(worker)))

    def _answer(self, query: str, **values: object) -> object:
        def ask() -> list[object]:
            try:
                with self.engine.connect() as connection:
                    return [connection.scalar(text(query), values)]
            except DBAPIError:  # it is just being restarted
                return []

        return eventually(ask, within=RECOVERY)[0]

    def _start(self, name: str) -> Program:
        settings: Mapping[str, str] = {**self._settings, "WRONG_CLOCK": str(self.clock_of(name))}
        return Program(name, self._arguments(name), dict(settings), self.folder, self.roots.get(name, ROOT))

    def _arguments(self, name: str) -> list[str]:
        if name in HANDLERS:
            return serving(self.ports[name])
        return ["worker" if name in WORKERS else name]

    def _supervise(self) -> None:
        """Start again what has ended, as Docker or Kubernetes would."""
        while not self._stopping.wait(0.3):
            for name, program in self.programs.items():
                if program.process.poll() is not None:
                    self.programs[name] = self._start(name)


def _through(url: str, proxy: Proxy) -> str:
    return make_url(url).set(port=proxy.port).render_as_string(hide_password=False)


def _is_ready(url: str) -> bool:
    try:
        ready = httpx.get(f"{url}/health/ready", timeout=5)
        return ready.status_code == 200 and all(ready.json()["models"][model] for model in specs())
    except httpx.TransportError:
        return False
