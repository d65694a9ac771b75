"""docker-compose.yml as somebody would use it: built, started, used, scaled, broken, restarted, taken down.

It has a project name, ports, volume and passwords of its own, so a stack that runs on this machine is not disturbed.
Needs a Docker engine: `make test-compose`.
"""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.image_classifier.examples import EIGHT
from tests.running import REPORT, ROOT, eventually, free_port

pytestmark = pytest.mark.compose

PROJECT = "millrace-test"
OURS = ("handler", "worker", "rescue", "webhooks", "flower")
LASTING = ("postgres", "redis", *OURS)
RUNTIMES = {
    "worker-xgboost": {"report_scorer"},
    "worker-onnx": {"image_classifier", "text_classifier"},
    "worker-ctranslate2": {"translator"},
}
SENTENCE = {"fromLang": "en", "toLang": "ja", "records": [{"id": "1", "text": "Life is like a box of chocolates."}]}
QUESTIONS: dict[str, Any] = {
    "/predict": REPORT,
    "/prediction": {"text": "The goalie made 40 saves."},
    "/translation": {"payload": SENTENCE},
}
COMPILERS = (
    r"find / -xdev -type f,l \( -name 'gcc*' -o -name 'g++*' -o -name cc -o -name cc1 -o -name clang -o -name ld \)"
)


class Stack:
    """The services of docker-compose.yml under a project name of their own."""

    def __init__(self, folder: Path) -> None:
        self.port, self.flower_port = free_port(), free_port()
        self.passwords = {name: secrets.token_hex(16) for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "flower")}
        example = (ROOT / ".env.example").read_text(encoding="utf-8")
        settings = {
            "POSTGRES_PASSWORD": self.passwords["POSTGRES_PASSWORD"],
            "REDIS_PASSWORD": self.passwords["REDIS_PASSWORD"],
            "FLOWER_BASIC_AUTH": f"somebody:{self.passwords['flower']}",
            "PORT": str(self.port),
            "FLOWER_PORT": str(self.flower_port),
            "TRANSLATION_PORT": str(free_port()),
            "WORKER_CONCURRENCY": "1",
            "LEASE_SECONDS": "5",  # so that a killed worker's tasks come back soon
        }
        self._env_file = folder / ".env"
        changes = "".join(f"{name}={value}\n" for name, value in settings.items())
        self._env_file.write_text(f"{example}\n{changes}", encoding="utf-8")
        # A name in the caller's environment would win over the file.
        self._environment = {name: value for name, value in os.environ.items() if f"\n{name}=" not in example}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def compose(self, *arguments: str) -> str:
        command = [*_compose_command(), f"--project-name={PROJECT}", f"--env-file={self._env_file}", *arguments]
        return _run(command, self._environment)

    def up(self, *arguments: str, workers: int = 1) -> None:
        self.compose("up", "--detach", *arguments, f"--scale=worker={workers}")
        eventually(lambda: self.ready_processes() == workers, within=120, every=0.5)

    def down(self) -> None:
        self.client.close()
        self.compose("down", "--volumes", "--remove-orphans", "--timeout=5")

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """Describe the containers of these services, or of all, in `docker inspect`'s words."""
        ids = self.compose("ps", "--all", "--quiet", *services).split()
        described: list[dict[str, Any]] = json.loads(_run(["docker", "inspect", *ids]))
        return described

    def psql(self, query: str) -> str:
        return self.compose(
            "exec", "-T", "postgres", "psql", "-U", "millrace", "--no-align", "--tuples-only", "-c", query
        ).strip()

    @contextmanager
    def scores_locked(self) -> Iterator[None]:
        """Let nobody store scores until the block ends."""
        lock = "BEGIN; LOCK TABLE report_scores; SELECT pg_sleep(600)"
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = '{lock}'"
        with ThreadPoolExecutor(1) as background:
            locking = background.submit(self.psql, lock)
            eventually(lambda: self.psql("SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted"))
            try:
                yield
            finally:
                assert self.psql(end) == "t"
                with suppress(AssertionError):  # psql says that its connection was ended
                    locking.result()

    def ready(self) -> dict[str, int]:
        """Return how many processes have each model loaded."""
        try:
            processes: dict[str, int] = self.client.get("/health/ready").json()["models"]
        except httpx.TransportError:
            return {}
        return processes

    def ready_processes(self) -> int:
        return self.ready().get("report_scorer", 0)

    def submit(self, reports: Sequence[dict[str, object]]) -> str:
        answer = self.client.post("/submit", json=reports)
        assert answer.status_code == 202, answer.text
        task_id: str = answer.json()["task_id"]
        return task_id

    def finished(self, task_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/task/{task_id}", headers={"Prefer": "wait=55"})
        assert answer.status_code == 200, answer.text
        task: dict[str, Any] = answer.json()
        return task


def _compose_command() -> list[str]:
    return ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _in_image(image: str, shell: str) -> str:
    return _run(["docker", "run", "--rm", "--network=none", "--user=root", "--entrypoint=sh", image, "-c", shell])


def _engine_answers() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0  # noqa: S607


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if "compose" not in request.config.option.markexpr:
        pytest.skip("builds images and takes minutes: make test-compose")
    if not _engine_answers():
        pytest.skip("no Docker engine answers `docker info`")
    failures, started = request.session.testsfailed, False
    stack = Stack(tmp_path_factory.mktemp("compose"))
    stack.compose("down", "--volumes", "--remove-orphans")  # what a killed run has left
    try:
        stack.up("--build")
        started = True
        yield stack
    finally:
        if not started or request.session.testsfailed > failures:
            print(stack.compose("ps", "--all"), stack.compose("logs", "--no-color", "--tail=60"))
        stack.down()


def test_the_file_is_clean_and_every_container_becomes_healthy(stack: Stack) -> None:
    complaints = subprocess.run(
        [*_compose_command(), "--env-file=.env.example", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True
    )
    assert (complaints.returncode, complaints.stdout, complaints.stderr) == (0, "", "")

    def states() -> list[str]:
        return [container["State"]["Health"]["Status"] for container in stack.containers(*LASTING)]

    eventually(lambda: states() == ["healthy"] * len(LASTING), within=90, every=1)
    assert stack.containers("migrate")[0]["State"]["ExitCode"] == 0


def test_a_batch_is_scored_and_lies_in_typed_columns(stack: Stack) -> None:
    task_id = stack.submit([REPORT | {"popularity": n % 6, "report_id": f"r-{n}"} for n in range(50)])
    task = stack.finished(task_id)
    assert task["status"] == "SUCCESS"
    rows = f"FROM report_scores WHERE task_id = '{task_id}'"
    assert json.loads(stack.psql(f"SELECT json_agg(score ORDER BY position) {rows}")) == task["score"]
    assert json.loads(stack.psql(f"SELECT json_agg(report_id ORDER BY position) {rows}")) == task["report_id"]
    types = "pg_typeof(abuse_type), pg_typeof(profile_rating), pg_typeof(popularity), pg_typeof(score)"
    assert stack.psql(f"SELECT DISTINCT {types} {rows}") == "text|double precision|integer|double precision"


def test_flower_asks_for_its_password_and_shows_the_worker(stack: Stack) -> None:
    address = f"http://127.0.0.1:{stack.flower_port}"
    (worker,) = stack.containers("worker")
    with httpx.Client(base_url=address, timeout=30) as stranger:
        assert stranger.get("/workers").status_code == 401
        assert stranger.get("/api/workers").status_code == 401
    with httpx.Client(base_url=address, timeout=30, auth=("somebody", stack.passwords["flower"])) as somebody:
        assert somebody.get("/workers").status_code == 200
        name = f"worker@{worker['Config']['Hostname']}"
        eventually(lambda: name in somebody.get("/api/workers", params={"refresh": 1}).json(), every=1)


def test_nothing_runs_as_root_or_shows_a_password_to_ps(stack: Stack) -> None:
    for container in stack.containers(*LASTING):
        # Its main process and what descends from it: health checks come and go beside them.
        _, *lines = _run(["docker", "top", container["Id"], "-eo", "pid,ppid,uid,args"]).splitlines()
        lasting, owners = {str(container["State"]["Pid"])}, set()
        for pid, parent, uid, _ in sorted((line.split(maxsplit=3) for line in lines), key=lambda line: int(line[0])):
            if pid in lasting or parent in lasting:
                lasting.add(pid)
                owners.add(uid)
        assert owners, lines
        assert "0" not in owners, lines
        assert not any(password in line for line in lines for password in stack.passwords.values())
    for container in stack.containers(*OURS):
        assert container["Config"]["User"] == "10001:10001"


def test_only_loopback_is_published(stack: Stack) -> None:
    published = {
        (container["Config"]["Labels"]["com.docker.compose.service"], binding["HostIp"])
        for container in stack.containers()
        for bindings in container["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    }
    assert published == {("handler", "127.0.0.1"), ("flower", "127.0.0.1")}


def test_nothing_can_write_outside_tmp_or_gain_a_right(stack: Stack) -> None:
    for container in stack.containers(*LASTING):
        host = container["HostConfig"]
        assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
    for service in OURS:
        status = stack.compose("exec", "-T", service, "cat", "/proc/self/status")
        assert {"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"} <= set(status.splitlines())
        write = "for at in / /app /opt/venv /var/tmp; do touch $at/new 2>/dev/null && echo $at; done; touch /tmp/new"
        assert stack.compose("exec", "-T", service, "sh", "-c", write) == ""


def test_images_hold_no_compiler_and_only_workers_an_ml_library(stack: Stack) -> None:
    in_base = set(_in_image("python:3.11-slim", COMPILERS).splitlines())  # none; a stand-in may have some
    for image in {container["Config"]["Image"] for container in stack.containers(*OURS, "migrate")}:
        assert set(_in_image(image, COMPILERS).splitlines()) <= in_base
    look = "import importlib.util as u; print([m for m in ('numpy', 'scipy', 'PIL', 'xgboost') if u.find_spec(m)])"
    for program in ("handler", "migrate", "rescue"):
        assert _in_image(f"{PROJECT}-{program}", f'python -c "{look}"').strip() == "[]"
        assert _in_image(f"{PROJECT}-{program}", "find /app/models -name model.py -o -name 'model.*'") == ""


def test_each_image_says_what_it_is_and_whether_it_is_well(stack: Stack) -> None:
    for container in stack.containers(*OURS, "migrate"):
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        (image,) = json.loads(_run(["docker", "inspect", container["Image"]]))
        described = "rescue" if service == "webhooks" else service
        assert image["Config"]["Labels"]["org.opencontainers.image.title"] == f"millrace-{described}"
        assert image["Config"]["Labels"]["org.opencontainers.image.description"]
        assert image["Config"]["User"] == "10001:10001"
        assert image["Config"]["Healthcheck"]["Test"]


def test_a_worker_image_of_each_runtime_scores_what_it_can(stack: Stack) -> None:
    (worker,) = stack.containers("worker")
    (network,) = worker["NetworkSettings"]["Networks"]
    (base,) = json.loads(_run(["docker", "inspect", "python:3.11-slim"]))
    settings = [f"--env={pair}" for pair in worker["Config"]["Env"] if pair.startswith(("DATABASE_URL=", "REDIS_URL="))]
    confined = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges:true", "--init"]
    stack.compose("stop", "worker")
    started = []
    try:
        for target, models in RUNTIMES.items():
            image = f"{PROJECT}-{target}"
            _run(["docker", "build", "--quiet", f"--target={target}", f"--tag={image}", "."])
            assert set(_in_image(image, "cd /app/models && ls -d */ | grep -v __").replace("/", "").split()) == models
            (built,) = json.loads(_run(["docker", "inspect", image]))
            assert built["Size"] - base["Size"] < 450e6, target  # python:3.11-slim itself has some 130 MB
            options = [*settings, *confined, f"--network={network}", "--env=WORKER_CONCURRENCY=1"]
            started.append(_run(["docker", "run", "--detach", *options, image]).strip())
        eventually(lambda: stack.ready() == dict.fromkeys(chain(*RUNTIMES.values()), 1), within=60, every=0.5)
        for path, question in QUESTIONS.items():
            answer = stack.client.post(path, json=question)
            assert answer.status_code == 200, answer.text
        answer = stack.client.post("/models/image_classifier/submit", json=[{"image": EIGHT}])
        assert stack.finished(answer.json()["task_id"])["label"] == ["8"]
    finally:
        _run(["docker", "rm", "--force", *started])
        stack.compose("start", "worker")
    eventually(lambda: stack.ready_processes() == 1, within=60, every=0.5)


def test_a_killed_worker_of_three_loses_nothing_and_doubles_nothing(stack: Stack) -> None:
    stack.up("--no-recreate", workers=3)
    reports = [REPORT | {"popularity": n % 6} for n in range(10_000)]  # as many as a chunk takes: a task each
    with stack.scores_locked():  # so that the workers stand still with their scores in hand
        ids = ",".join(f"'{stack.submit(reports)}'" for _ in range(10))
        count = f"SELECT count(*) FROM tasks WHERE id IN ({ids})"
        eventually(lambda: stack.psql(f"{count} AND status = 'STARTED'") == "3")
        _run(["docker", "kill", "--signal=KILL", stack.containers("worker")[0]["Id"]])
    eventually(lambda: stack.psql(f"{count} AND status = 'SUCCESS'") == "10", within=60, every=0.5)
    assert stack.psql(f"{count} AND attempt = 2") == "1"
    rows = "count(*), count(DISTINCT (task_id, position))"
    assert stack.psql(f"SELECT {rows} FROM report_scores WHERE task_id IN ({ids})") == "100000|100000"


def test_a_restart_keeps_the_data(stack: Stack) -> None:
    task_id = stack.submit([REPORT])
    before = stack.finished(task_id)
    stack.compose("restart")
    eventually(lambda: stack.ready_processes(), within=60, every=0.5)
    assert stack.finished(task_id) == before
    assert stack.finished(stack.submit([REPORT]))["score"] == before["score"]
