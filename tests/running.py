"""Starts the programs as a user would, on free ports, and stops them."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx

from serving.catalogue import specs
from tests.forking import ROOT, ForkedProcess, can_fork, fork

T = TypeVar("T")

PORTS = 3_000
"""How many ports each process of pytest may give to its servers."""

_given: deque[int] = deque(maxlen=PORTS // 4)

REPORT = {
    "abuse_type": "MSG",
    "report_text_len": 120,
    "profile_rating": 4.2,
    "popularity": 3,
    "lifetime_matches_created": 57,
}


def free_port() -> int:
    return free_ports(1)


def free_ports(count: int) -> int:
    """Return the first of so many consecutive free ports.

    They are out of the range from which the system gives ports away, those of each process of pytest apart from the
    others', and none that was given a short while ago: nothing else takes one before its program has begun to listen.
    """
    lowest = 20_000 + PORTS * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw3")[2:]) % 4)
    while True:
        first = random.randrange(lowest, lowest + PORTS - count)  # noqa: S311
        wanted = range(first, first + count)
        if not set(_given).isdisjoint(wanted):
            continue
        with ExitStack() as probes, suppress(OSError):
            for port in wanted:
                probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            _given.extend(wanted)
            return first


def in_the_middle(platform: "Platform") -> bool:
    """Return whether processes that are stopped own tasks that they have not ended."""

    def started() -> bool:
        return bool(platform.client.get("/tasks", params={"status": "STARTED"}).json()["tasks"])

    if not started():
        return False
    time.sleep(0.5)  # PostgreSQL commits without a process that has sent it all
    return started()


def eventually(look: Callable[[], T], *, within: float = 60, every: float = 0.05) -> T:
    """Return what `look` returns as soon as it is true; fail when it never is."""
    until = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {within} s: {look}")
        time.sleep(every)
    return seen


@contextmanager
def temporary_open_folder() -> Iterator[Path]:
    """Make a folder that every account can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


class Program:
    """One program in a process group of its own, with its output in a file."""

    def __init__(
        self, name: str, arguments: Sequence[str], environment: dict[str, str], logs: Path, root: Path = ROOT
    ) -> None:
        """`root` holds the code that it runs."""
        self.log = logs / f"{name}.log"
        self.process: subprocess.Popen[bytes] | ForkedProcess
        if root == ROOT and can_fork(arguments, environment):
            self.process = fork(arguments, {**os.environ, **environment}, self.log, root)
            return
        with self.log.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=root,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout: float = 60) -> int:
        """Signal the program, wait for its end, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()


def serving(port: int) -> list[str]:
    """Return the arguments of a handler on this port."""
    command = ["uvicorn", "--factory", "handler.app:create_app", "--port", str(port), "--no-access-log"]
    return [*command, "--http=handler.connection:Connection"]


class Platform:
    """Handler, worker and rescue on a database and a Redis of their own; with ENGINE=pool the handler is all."""

    def __init__(self, database_url: str, redis_url: str, logs: Path, **settings: str) -> None:
        self.port = free_port()
        self.metrics = {name: free_port() for name in ("handler", "worker", "rescue", "webhooks")}
        self.database_url = database_url
        self.url = f"http://127.0.0.1:{self.port}"
        self.logs = logs
        self.environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "WORKER_CONCURRENCY": "1",
            "WORKER_MODELS": "report_scorer",
            "OMP_NUM_THREADS": "1",
            "AUTH": "off",
            "PREDICT_WAIT_SECONDS": "30",  # on a busy machine POST /predict would answer 202 now and then
            **settings,
        }
        if settings.get("ENGINE") == "pool":
            del self.environment["REDIS_URL"]
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def start_handler(self) -> Program:
        return Program("handler", serving(self.port), self._metered("handler"), self.logs)

    def start_worker(self) -> Program:
        return Program("worker", ["worker"], self._metered("worker"), self.logs)

    def start_rescue(self) -> Program:
        return Program("rescue", ["rescue"], self._metered("rescue"), self.logs)

    def start_webhooks(self) -> Program:
        return Program("webhooks", ["webhooks"], self._metered("webhooks"), self.logs)

    def _metered(self, program: str) -> dict[str, str]:
        return {"METRICS": f"127.0.0.1:{self.metrics[program]}", **self.environment}

    def wait_until_ready(self) -> None:
        eventually(self._is_ready, within=240)

    def __enter__(self) -> Self:
        self.handler = self.start_handler()
        if "REDIS_URL" in self.environment:
            self.worker, self.rescue = self.start_worker(), self.start_rescue()
        try:
            self.wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        for name in ("handler", "worker", "rescue"):
            if program := getattr(self, name, None):
                program.stop(signal.SIGKILL)  # an orderly stop takes seconds each, and has tests of its own

    def submit(self, *reports: dict[str, object]) -> str:
        """Submit inputs and return its task id."""
        answer = self.client.post("/submit", json=list(reports))
        assert answer.status_code == 202, answer.text
        task_id: str = answer.json()["task_id"]
        return task_id

    def finished(self, task_id: str) -> dict[str, object]:
        """Wait until the task has ended and return it; a worker that has just been started may need its time."""

        def ended() -> dict[str, object] | None:
            answer = self.client.get(f"/task/{task_id}", headers={"Prefer": "wait=55"})
            assert answer.status_code == 200, answer.text
            task: dict[str, object] = answer.json()
            return None if task["status"] in ("PENDING", "STARTED") else task

        task = eventually(ended, within=160)
        assert task is not None
        return task

    def _models(self) -> Sequence[str]:
        chosen = self.environment.get("WORKER_MODELS")
        return chosen.split(",") if chosen else list(specs())

    def _is_ready(self) -> bool:
        try:
            ready = self.client.get("/health/ready")
            return ready.status_code == 200 and all(ready.json()["models"][model] for model in self._models())
        except httpx.TransportError:
            return False


@contextmanager
def handler(database_url: str, redis_url: str, logs: Path, **settings: str) -> Iterator[Platform]:
    """Start a handler and nothing else."""
    alone = Platform(database_url, redis_url, logs, **settings)
    program = alone.start_handler()
    try:
        eventually(lambda: answers(alone.client))
        yield alone
    finally:
        alone.client.close()
        program.stop()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/heartbeat").json() == {"message": "Service Ok"}
    except httpx.TransportError:
        return False
