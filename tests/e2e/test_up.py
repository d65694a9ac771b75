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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from devstack.ports import METERED
from tests.conftest import Servers
from tests.processes import command, descendants, living
from tests.running import REPORT, ROOT, eventually, free_port, free_ports, temporary_open_folder

ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
BASH = shutil.which("bash") or "bash"
MAKE = shutil.which("make") or "make"

pytestmark = pytest.mark.timeout(300)

STOPS = 30
"""Seconds within which all has ended; on a machine without other work it is 10."""


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
        found = self.children(*words)
        assert found, f"no child runs {words}"
        return found[0]

    def children(self, *words: str) -> list[psutil.Process]:
        return descendants(self.process.pid, *words)

    def scores(self) -> bool:
        """Return whether a report is scored."""
        try:
            return httpx.post(f"{self.url}/predict", json=REPORT, timeout=20).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, how: signal.Signals) -> float:
        """Signal `millrace up`, which make waits for, and return how many seconds the end took."""
        start = time.monotonic()
        self.child("millrace up").send_signal(how)
        self.process.wait(2 * STOPS)
        return time.monotonic() - start


def _environment(folder: Path, **settings: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    for name in ("DATABASE_URL", "REDIS_URL"):
        ours.pop(name, None)
    places = {"MILLRACE_FOLDER": str(folder), "METRICS_PORT": str(free_ports(len(METERED)))}
    patience = {"PREDICT_WAIT_SECONDS": "30"}  # on a busy machine POST /predict would answer 202 now and then
    return {**ours, **places, **patience, "COLUMNS": "200", **settings}


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


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Stay up for several tests, the last of which stops it."""
    output = tmp_path_factory.mktemp("up") / "out"
    with (
        temporary_open_folder() as folder,
        make_up(folder / "millrace", output, FLOWER_BASIC_AUTH="me:secret word") as up,
    ):
        up.wait_until_ready()
        yield up


@pytest.mark.parametrize("page", ["README.md", "docs/tutorials/first-task.md"])
def test_the_commands_of_the_page_work_as_they_are_printed(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```\n(?:\n?```(?:json|text)\n(.*?)```)?", (ROOT / page).read_text(), re.DOTALL)
    typed = (".venv/bin/millrace models", "curl")
    commands = [(command, answer) for command, answer in blocks if answer or command.startswith(typed)]
    assert len(commands) >= 4
    ids: dict[str, str] = {}
    with temporary_open_folder() as folder, make_up(folder / "millrace", tmp_path / "out") as up:
        up.wait_until_ready()
        for command, answer in commands:
            run = command.replace("127.0.0.1:8081", f"127.0.0.1:{up.port}")
            for printed, real in ids.items():
                run = run.replace(printed, real)
            done = subprocess.run(
                [BASH, "-euc", run], cwd=ROOT, env=up.environment, capture_output=True, text=True, timeout=180
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            if answer:
                assert _lasting(done.stdout) == _lasting(answer), command
                ids |= dict(zip(ID.findall(answer), ID.findall(done.stdout), strict=True))
        assert up.stop(signal.SIGINT) < STOPS


def test_every_example_of_the_documentation_is_answered(up: Up) -> None:
    for script in sorted((ROOT / "docs" / "examples").glob("*.sh")):
        done = subprocess.run(
            [BASH, script], env={**os.environ, "MILLRACE_URL": up.url}, capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        assert '"status":5' not in done.stdout, f"{script}\n{done.stdout}"


def test_flower_is_closed_without_the_password_that_is_printed(up: Up) -> None:
    flower = f"http://127.0.0.1:{up.flower_port}"
    assert httpx.get(f"{flower}/workers").status_code == 401
    task = httpx.post(f"{up.url}/predict", json=REPORT).json()
    with httpx.Client(base_url=flower, auth=("me", "secret word"), timeout=30) as signed_in:

        def queues() -> set[str]:
            workers = signed_in.get("/api/workers", params={"refresh": "1"}).json().values()
            return {queue["name"] for worker in workers for queue in worker.get("active_queues", ())}

        eventually(lambda: "score.report_scorer" in queues(), every=0.5)
        delivery = eventually(lambda: signed_in.get("/api/tasks").json().get(task["task_id"]))
    assert delivery["name"] == "score.report_scorer"
    assert task["task_id"] in delivery["kwargs"]
    assert up.children()
    assert not up.children("secret word")


def test_what_stands_in_the_way_is_said(up: Up) -> None:
    port, flower_port = f"PORT={up.port}", f"FLOWER_PORT={free_port()}"
    assert f"port {up.port} is in use; choose another" in _refused(up.folder, port, flower_port)[0]
    assert f"another run (process {up.child('millrace up').pid})" in _refused(up.folder)[0]
    assert "PORT is not valid" in _refused(up.folder, "PORT=many")[0]
    assert up.process.poll() is None
    assert (up.folder / "addresses.json").exists()  # which is that of the run that goes on


def test_whatever_dies_is_started_again(up: Up) -> None:
    programs = ("uvicorn", "-m rescue", "-m webhooks", "-m worker", "flower", "valkey", "postgres")
    for times, program in enumerate(programs, 1):
        up.child(program).kill()
        eventually(lambda times=times: up.shown().count("was killed by SIGKILL. Starting it again now") == times)  # type: ignore[misc]
        eventually(up.scores, every=0.5)


def test_a_server_that_cannot_be_started_again_is_tried_until_it_can(up: Up) -> None:
    settings = (up.folder / "postgres").resolve() / "data" / "postgresql.conf"
    sound = settings.read_bytes()
    settings.write_bytes(b"no such thing")
    up.child("postgres").kill()
    eventually(lambda: "PostgreSQL keeps ending" in up.shown(), within=60)
    assert "FATAL" in up.shown()
    assert httpx.get(f"{up.url}/health/live").status_code == 200
    settings.write_bytes(sound)
    eventually(up.scores, within=120, every=0.5)


def test_addresses_that_a_run_has_left_in_the_shell_are_named(up: Up) -> None:
    addresses = json.loads((up.folder / "addresses.json").read_text())
    assert up.stop(signal.SIGINT) < STOPS
    assert "unset DATABASE_URL" in _refused(up.folder, DATABASE_URL=addresses["database_url"])[0]
    assert "unset REDIS_URL" in _refused(up.folder, REDIS_URL=addresses["redis_url"])[0]


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
        listening = set()
        for process in ours:
            with suppress(psutil.NoSuchProcess):
                connections = process.net_connections("tcp")
                listening |= {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}
        assert up.stop(signal.SIGTERM) < 10
        assert living(ours) == []
    with make_up(folder, tmp_path / "again") as again:
        again.wait_until_ready()
        assert httpx.get(f"{again.url}/task/{task['task_id']}").json() == task


def test_a_run_that_was_killed_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    with make_up(folder, tmp_path / "out", TMPDIR=str(tmp_path / "tmp")) as up:
        up.wait_until_ready()
        ours = up.children()
        up.child("millrace up").kill()
        eventually(lambda: not living(ours), within=60)
    assert not list((tmp_path / "tmp").iterdir())
    stale = folder / "tmp" / "left-by-a-killed-program"
    stale.mkdir()
    with make_up(folder, tmp_path / "again") as up:
        up.wait_until_ready()
        assert not stale.exists()
        assert any("millrace-worker" in made.name for made in (folder / "tmp").iterdir())
        assert up.scores()


def test_a_program_that_keeps_ending_is_shown_in_red_while_the_others_go_on(folder: Path, tmp_path: Path) -> None:
    with make_up(folder, tmp_path / "out", RESCUE_INTERVAL_SECONDS="1") as up:
        up.wait_until_ready()
        others = [up.child(name) for name in ("uvicorn", "-m rescue", "flower", "valkey", "postgres")]
        for times in range(1, 7):
            victim = eventually(lambda: next((c for c in up.children() if command(c).endswith(" -m worker")), None))
            victim.kill()
            eventually(lambda times=times: up.shown().count("worker") and _ends(up, "worker") == times, within=60)  # type: ignore[misc]
        assert "✗ worker keeps ending (6 times): it was killed by SIGKILL" in up.shown()
        assert httpx.get(f"{up.url}/health/live").status_code == 200
        assert httpx.post(f"{up.url}/submit", json=[REPORT]).status_code == 202
        status = subprocess.run(
            [Path(sys.executable).parent / "millrace", "status", "--once"],
            env=up.environment,
            capture_output=True,
            text=True,
        )
        assert "✗ worker: keeps ending" in status.stdout, status.stderr
        assert status.returncode == 1
        assert living(others) == others
        eventually(up.scores, within=120, every=0.5)
        assert up.stop(signal.SIGINT) < STOPS


def _ends(up: Up, program: str) -> int:
    return len(re.findall(rf"{program} (?:was killed|keeps ending)", up.shown()))


def _refused(folder: Path, *arguments: str, **settings: str | int) -> list[str]:
    """Run `make up`, which must refuse to, and return the lines that it says."""
    environment = _environment(folder, **{name: str(value) for name, value in settings.items()})
    command = [MAKE, "up", *(arguments or (f"PORT={free_port()}", f"FLOWER_PORT={free_port()}"))]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("DATABASE_URL", "postgresql://a:b@127.0.0.1:1/c", "Connection refused"),
        (
            "DATABASE_URL",
            "mysql://a:b@127.0.0.1:1/c",
            "not valid: it must be like postgresql://user:password@host:port/database",
        ),
        ("REDIS_URL", "redis://127.0.0.1:1/0", "Connection refused"),
        ("RATE_LIMIT", "lots", "600/minute"),
        ("WORKER_MODELS", "nothing", "no model nothing"),
        ("RESCUE_INTERVAL_SECONDS", "-1", "greater than 0"),
        ("WEBHOOK_TIMEOUT_SECONDS", "x", "valid number"),
    ],
)
def test_a_setting_that_is_wrong_is_named_in_the_first_line(folder: Path, setting: str, value: str, says: str) -> None:
    first, *_ = _refused(folder, **{setting: value})
    assert re.match(rf"millrace up: (?:\w+ ended before it was ready: )?{setting} ", first), first
    assert says in first


def test_a_place_that_cannot_be_used_is_named_in_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert f"{tmp_path / 'file'} is no folder" in _refused(tmp_path / "file")[0]


def test_a_wrong_password_and_a_missing_right_are_named(servers: Servers, database_url: str, folder: Path) -> None:
    wrong = re.sub(r":[^:@]+@", ":guessed@", database_url)
    first, *_ = _refused(folder, DATABASE_URL=wrong)
    assert first.startswith("millrace up: DATABASE_URL ")
    assert "password authentication failed" in first
    assert "guessed" not in first


def test_servers_of_your_own_are_used_instead(
    servers: Servers, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    with make_up(tmp_path / "folder", tmp_path / "out", **urls) as up:
        up.wait_until_ready()
        assert not up.children("postgres -D")
        assert not up.children("valkey-server")
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
        assert not up.children("valkey")
        assert not up.children("celery")
        assert up.stop(signal.SIGINT) < STOPS
        assert living(ours) == []
