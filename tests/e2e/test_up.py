"""`make up` as a newcomer types it: real ports, real servers, real signals."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from tests.conftest import Servers
from tests.running import REPORT, ROOT, eventually, free_port, free_ports, temporary_open_folder

ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
BASH = shutil.which("bash") or "bash"
MAKE = shutil.which("make") or "make"

pytestmark = pytest.mark.timeout(300)


@dataclass
class Up:
    process: subprocess.Popen[bytes]
    output: Path
    folder: Path
    port: int
    flower_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return _environment(self.folder)

    def shown(self) -> str:
        return self.output.read_text()

    def wait_until_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.shown()
            return "Ctrl-C stops it all" in self.shown()

        eventually(ready, within=120)

    def child(self, *words: str) -> psutil.Process:
        """Return the child whose command line has all these words."""
        found = [c for c in self.children() if all(word in " ".join(c.cmdline()) for word in words)]
        assert found, f"no child runs {words}"
        return found[0]

    def children(self) -> list[psutil.Process]:
        children: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return children

    def stop(self, how: signal.Signals) -> float:
        """Signal `millrace up`, which make waits for, and return how many seconds the end took."""
        start = time.monotonic()
        self.child("millrace up").send_signal(how)
        self.process.wait(30)
        return time.monotonic() - start


def _environment(folder: Path, **settings: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    for name in ("DATABASE_URL", "REDIS_URL"):
        ours.pop(name, None)
    places = {"MILLRACE_FOLDER": str(folder), "METRICS_PORT": str(free_ports(4))}
    return {**ours, **places, "COLUMNS": "200", **settings}


@contextmanager
def make_up(folder: Path, output: Path, **settings: str) -> Iterator[Up]:
    port, flower_port = free_port(), free_port()
    with output.open("wb") as out:
        process = subprocess.Popen(
            [MAKE, "up", f"PORT={port}", f"FLOWER_PORT={flower_port}"],
            cwd=ROOT,
            env=_environment(folder, **settings),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    up = Up(process, output, folder, port, flower_port)
    try:
        yield up
    finally:
        if process.poll() is None:
            up.stop(signal.SIGTERM)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where this module's platform keeps its data, from one start to the next."""
    with temporary_open_folder() as folder:
        yield folder / "millrace"


def test_the_quick_start_of_the_readme_works_as_it_is_printed(folder: Path, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    quick_start = readme[readme.index("## Quick start") : readme.index("\n## ", readme.index("## Quick start") + 1)]
    blocks = re.findall(r"```sh\n(.*?)```\n(?:\n?```(?:json|text)\n(.*?)```)?", quick_start, flags=re.DOTALL)
    commands = [(command, answer) for command, answer in blocks if not command.startswith(("git clone", "make up"))]
    assert len(commands) >= 4
    ids: dict[str, str] = {}
    with make_up(folder, tmp_path / "out") as up:
        up.wait_until_ready()
        for command, answer in commands:
            run = command.replace("127.0.0.1:8081", f"127.0.0.1:{up.port}")
            for printed, real in ids.items():
                run = run.replace(printed, real)
            done = subprocess.run(
                [BASH, "-euc", run], cwd=ROOT, env=up.environment, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            assert _lasting(done.stdout) == _lasting(answer), command
            ids |= dict(zip(ID.findall(answer), ID.findall(done.stdout), strict=True))
        assert up.stop(signal.SIGINT) < 10


def test_every_example_of_the_documentation_is_answered(folder: Path, tmp_path: Path) -> None:
    with make_up(folder, tmp_path / "out") as up:
        up.wait_until_ready()
        for script in sorted((ROOT / "docs" / "examples").glob("*.sh")):
            done = subprocess.run(
                [BASH, script], env={**os.environ, "MILLRACE": up.url}, capture_output=True, text=True, timeout=90
            )
            assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
            assert '"status":5' not in done.stdout, f"{script}\n{done.stdout}"


def test_it_prints_where_everything_is_and_stops_without_a_trace(folder: Path, tmp_path: Path) -> None:
    with make_up(folder, tmp_path / "out") as up:
        up.wait_until_ready()
        for part in (up.url, f"{up.url}/docs", f"http://127.0.0.1:{up.flower_port}", "psql", "curl"):
            assert part in up.shown()
        assert httpx.get(f"{up.url}/health/ready").json()["ready"] is True
        task = httpx.post(f"{up.url}/predict", json=REPORT).json()
        addresses = re.findall(r"http://\S+/metrics", up.shown())
        assert len(addresses) == 4
        shown = "".join(httpx.get(address).text for address in addresses)
        for name in ("http_requests_total", "predictions_total", "rescues_total", "webhook_attempts_total"):
            assert f"\nmillrace_{name}{{" in shown
        ours = up.children()
        assert len(ours) >= 6
        listening = {
            connection.laddr.ip
            for process in ours
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}
        assert up.stop(signal.SIGTERM) < 10
        assert [process for process in ours if process.is_running() and process.status() != "zombie"] == []
    with make_up(folder, tmp_path / "again") as again:
        again.wait_until_ready()
        assert httpx.get(f"{again.url}/task/{task['task_id']}").json() == task


def test_flower_is_closed_without_the_password_that_is_printed(folder: Path, tmp_path: Path) -> None:
    with make_up(folder, tmp_path / "out", FLOWER_BASIC_AUTH="me:secret word") as up:
        up.wait_until_ready()
        flower = f"http://127.0.0.1:{up.flower_port}"
        assert httpx.get(f"{flower}/workers").status_code == 401
        task = httpx.post(f"{up.url}/predict", json=REPORT).json()
        with httpx.Client(base_url=flower, auth=("me", "secret word"), timeout=30) as signed_in:
            workers = signed_in.get("/api/workers", params={"refresh": "1"}).json().values()
            assert any(queue["name"] == "score.report_scorer" for w in workers for queue in w["active_queues"])
            delivery = eventually(lambda: signed_in.get("/api/tasks").json().get(task["task_id"]))
        assert delivery["name"] == "score.report_scorer"
        assert task["task_id"] in delivery["kwargs"]
        assert "secret word" not in " ".join(word for child in up.children() for word in child.cmdline())


@pytest.mark.parametrize(
    "program", ["uvicorn", "worker.rescue", "worker.webhooks", "-m worker", "flower", "valkey", "postgres"]
)
def test_whatever_dies_is_started_again(folder: Path, tmp_path: Path, program: str) -> None:
    with make_up(folder, tmp_path / "out") as up:
        up.wait_until_ready()
        victim = up.child(program)
        victim.kill()
        eventually(lambda: "start" in up.shown().partition("Ctrl-C")[2], within=30)

        def scores() -> bool:
            try:
                answer = httpx.post(f"{up.url}/predict", json=REPORT, timeout=20)
            except httpx.TransportError:
                return False
            return answer.status_code == 200

        eventually(scores, within=60, every=0.5)
        assert up.stop(signal.SIGINT) < 10


def test_what_stands_in_the_way_is_said(folder: Path, tmp_path: Path) -> None:
    with make_up(folder, tmp_path / "out") as up:
        up.wait_until_ready()

        def refused(**settings: str | int) -> str:
            arguments = [f"{name}={value}" for name, value in settings.items()]
            done = subprocess.run(
                [MAKE, "up", *arguments], cwd=ROOT, env=up.environment, capture_output=True, text=True, timeout=60
            )
            assert done.returncode != 0
            return done.stdout + done.stderr

        assert f"port {up.port} is in use; choose another" in refused(PORT=up.port, FLOWER_PORT=free_port())
        assert "another run" in refused(PORT=free_port(), FLOWER_PORT=free_port())
        assert "PORT is not valid" in refused(PORT="many")
        assert up.process.poll() is None


def test_servers_of_your_own_are_used_instead(
    servers: Servers, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    with make_up(tmp_path / "folder", tmp_path / "out", **urls) as up:
        up.wait_until_ready()
        assert not [child for child in up.children() if child.name() in ("postgres", "valkey-server")]
        assert httpx.get(f"{up.url}/health/ready").json()["ready"] is True


def _lasting(answer: str) -> object:
    """Blank out what differs from run to run, ids and times; read JSON, which may be printed over several lines."""
    answer = ID.sub("<id>", answer)
    answer = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00)?", "<time>", answer)
    return json.loads(answer) if answer.startswith("{") else " ".join(answer.split())


def test_the_pool_needs_postgres_and_the_handler_only(folder: Path, tmp_path: Path) -> None:
    with make_up(folder, tmp_path / "out", ENGINE="pool") as up:
        up.wait_until_ready()
        assert "model pool" in up.shown()
        assert "Flower" not in up.shown()
        assert httpx.post(f"{up.url}/predict", json=REPORT, timeout=30).json()["status"] == "SUCCESS"
        status = [Path(sys.executable).parent / "millrace", "status", "--once"]
        shown = subprocess.run(status, env=up.environment, capture_output=True, text=True, check=True).stdout
        assert "● PostgreSQL  ● handler  ● model pool  ● rescue" in shown
        assert "Redis" not in shown
        ours = up.children()
        assert not [child for child in ours if "valkey" in child.name() or "celery" in " ".join(child.cmdline())]
        assert up.stop(signal.SIGINT) < 10
        assert [process for process in ours if process.is_running() and process.status() != "zombie"] == []
