"""A compose file under a project name of its own, for tests to use and break."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.running import ROOT, eventually, free_port

PROJECT = "millrace-test"
OURS = ("handler", "worker", "rescue", "webhooks", "flower")
LASTING = ("postgres", "redis", *OURS)
PASSWORDS = {
    "POSTGRES_PASSWORD": ("postgres", "owner"),
    "POSTGRES_APP_PASSWORD": ("handler", "app"),
    "REDIS_PASSWORD": ("redis", "redis"),
    "FLOWER_BASIC_AUTH": ("flower", "flower"),
}
"""A service that reads each, and the folder in which it does."""


class Stack:
    """The services of a compose file under a project name of their own."""

    def __init__(self, folder: Path, file: str = "docker-compose.yml", project: str = PROJECT) -> None:
        self._which = [f"--project-name={project}", f"--file={file}"]
        self.port, self.flower_port = free_port(), free_port()
        settings = {
            "PORT": str(self.port),
            "FLOWER_PORT": str(self.flower_port),
            "TRANSLATION_PORT": str(free_port()),
            "WORKER_CONCURRENCY": "1",
            "LEASE_SECONDS": "5",  # so that a killed worker's tasks come back soon
        }
        self._env_file = folder / ".env"
        self._settings = settings
        self.configure()
        # A name in the caller's environment would win over the file.
        known = set(re.findall(r"[A-Z][A-Z0-9_]+", (ROOT / file).read_text(encoding="utf-8")))
        self._environment = {name: value for name, value in os.environ.items() if name not in known}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def configure(self, **more: str) -> None:
        """Write .env, with so many settings more."""
        settings = (f"{name}={value}\n" for name, value in {**self._settings, **more}.items())
        self._env_file.write_text("".join(settings), encoding="utf-8")

    def password(self, name: str) -> str:
        """Read a password where a program that needs it does."""
        service, folder = PASSWORDS[name]
        return self.compose("exec", "-T", service, "cat", f"/run/secrets/{folder}/{name}")

    def compose(self, *arguments: str) -> str:
        command = [*compose_command(), *self._which, f"--env-file={self._env_file}", *arguments]
        return run(command, self._environment)

    def shell(self, commands: str, folder: Path) -> None:
        """Run commands of the documentation in a folder, as they stand there, on this stack."""
        here = {"COMPOSE_PROJECT_NAME": PROJECT, "COMPOSE_ENV_FILES": str(self._env_file)}
        environment = {**self._environment, **here, "COMPOSE_FILE": str(ROOT / "docker-compose.yml")}
        commands = commands.replace("docker-compose ", f"{' '.join(compose_command())} ")
        done = subprocess.run(["sh", "-ec", commands], cwd=folder, env=environment, capture_output=True, text=True)  # noqa: S607
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"

    def up(self, *arguments: str, workers: int = 1) -> None:
        if workers > 1:
            self.configure(WORKER_REPLICAS=str(workers))
        self.compose("up", "--detach", *arguments)
        eventually(lambda: self.ready_processes() == workers, within=120, every=0.5)

    def down(self) -> None:
        self.client.close()
        self.compose("down", "--volumes", "--remove-orphans", "--timeout=5")

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """Describe the containers of these services, or of all, in `docker inspect`'s words."""
        ids = self.compose("ps", "--all", "--quiet", *services).split()
        described: list[dict[str, Any]] = json.loads(run(["docker", "inspect", *ids]))
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


def compose_command() -> list[str]:
    return ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
