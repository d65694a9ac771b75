"""The release before this one and this one work on one database and one Redis: an upgrade can be taken back.

Release 0.1.0 runs here from its own code, in the environment of this one. What it cannot read, this release must not
write; what it needs of the schema, no migration may take away.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine, text

from migrations.revisions import upgrade
from models.image_classifier.examples import EIGHT
from serving.catalogue import specs
from store import transitions
from store.engine import connect
from tests.conftest import Servers, as_app, create_database, empty_redis
from tests.release import NoHistory, unpack
from tests.running import REPORT, Platform, Program, eventually

INPUTS: Mapping[str, dict[str, object]] = {
    "report_scorer": {**REPORT, "report_id": "r-1"},
    "text_classifier": {"text": "The goalie made 40 saves and the Penguins won in overtime."},
    "translator": {"id": "1", "text": "Life is like a box of chocolates.", "source": "en", "target": "ja"},
    "image_classifier": {"image": EIGHT},
}
SIZES = (1, 20)  # both forms of a payload
QUICK = {
    "WORKER_MODELS": "",
    "LEASE_SECONDS": "5",
    "RESCUE_INTERVAL_SECONDS": "0.5",
    "REPUBLISH_AFTER_SECONDS": "2",
}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the code of the release before."""
    try:
        return unpack(tmp_path_factory.mktemp("release"))
    except NoHistory as error:
        pytest.skip(str(error))


class Before(Platform):
    """The programs of the release before, with the command lines that it had."""

    def __init__(self, release: Path, *arguments: Any, **settings: str) -> None:
        super().__init__(*arguments, **settings)
        self._release = release

    def start_handler(self) -> Program:
        served = ["uvicorn", "--factory", "handler.app:create_app", "--http=handler.connection:Connection"]
        return self._program("handler", [*served, "--port", str(self.port), "--no-access-log"])

    def start_worker(self) -> Program:
        return self._program("worker", ["worker"])

    def start_rescue(self) -> Program:
        return self._program("rescue", ["worker.rescue"])

    def _program(self, name: str, arguments: Sequence[str]) -> Program:
        return Program(name, arguments, self._metered(name), self.logs, root=self._release)


class Both:
    """A handler of each release on one database and one Redis; workers come and go."""

    def __init__(self, before: Before, now: Platform, engine: Engine) -> None:
        self.before, self.now, self.engine = before, now, engine

    def submit(self, platform: Platform) -> list[str]:
        """Have a release accept tasks of every model and both sizes; return their ids."""
        assert set(INPUTS) <= set(specs())
        return [
            accepted(platform.client.post(f"/models/{model}/submit", json=[one] * size))
            for model, one in INPUTS.items()
            for size in SIZES
        ]

    @contextmanager
    def working(self, *platforms: Platform) -> Iterator[None]:
        """Run a worker and rescue of each of these releases."""
        with ExitStack() as running:
            for platform in platforms:
                for start in (platform.start_worker, platform.start_rescue):
                    running.callback(start().stop)
            yield

    def all_scored(self, tasks: Sequence[str]) -> bool:
        """Say whether all have their scores; fail as soon as one has failed."""
        rows = self._rows("SELECT id, model, status, error FROM tasks WHERE id = ANY(CAST(:ids AS uuid[]))", tasks)
        assert len(rows) == len(tasks)
        assert not [row for row in rows if row.status == "FAILURE"], rows
        return all(row.status == "SUCCESS" for row in rows)

    def rows_of(self, tasks: Sequence[str]) -> dict[str, int]:
        """Count what is stored for these tasks, by model."""
        counts = {}
        for spec in specs().values():
            query = f"SELECT count(*) AS n FROM {spec.table} WHERE task_id = ANY(CAST(:ids AS uuid[]))"
            counts[spec.name] = self._rows(query, tasks)[0].n
        return {name: count for name, count in counts.items() if count}

    def _rows(self, query: str, ids: Sequence[str]) -> Sequence[Any]:
        with self.engine.connect() as connection:
            return connection.execute(text(query), {"ids": list(ids)}).all()


@pytest.fixture(scope="module")
def both(release: Path, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Migrate as the release before did, start its handler, accept, and then upgrade under it."""
    logs = tmp_path_factory.mktemp("both")
    url, redis_url = create_database(servers, "release_before"), empty_redis(servers, 3)
    migrating = f"from migrations.revisions import upgrade; upgrade({url!r}, {as_app(url)!r})"
    subprocess.run([sys.executable, "-c", migrating], cwd=release, env={**os.environ}, check=True)
    engine = connect(url)
    with ExitStack() as running:
        running.callback(engine.dispose)
        platforms = []
        for name, make in (("before", lambda *a, **s: Before(release, *a, **s)), ("now", Platform)):
            (logs / name).mkdir()
            platforms.append(make(url, redis_url, logs / name, **QUICK, DATABASE_URL=as_app(url)))
            running.callback(platforms[-1].client.close)
        before, now = platforms
        running.callback(before.start_handler().stop)
        eventually(lambda: is_ready(before), within=60)
        upgrade(url, as_app(url))
        running.callback(now.start_handler().stop)
        eventually(lambda: is_ready(now), within=60)
        yield Both(before, now, engine)


def is_ready(platform: Platform) -> bool:
    with suppress(httpx.TransportError):
        return platform.client.get("/health/ready").status_code == 200
    return False


def accepted(answer: httpx.Response) -> str:
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


@pytest.mark.timeout(300)
def test_tasks_of_the_release_before_are_scored_by_this_one(both: Both) -> None:
    tasks = both.submit(both.before)
    with both.working(both.now):
        eventually(lambda: both.all_scored(tasks), within=120, every=0.2)
    assert both.rows_of(tasks) == dict.fromkeys(INPUTS, sum(SIZES))


@pytest.mark.timeout(300)
def test_after_a_rollback_the_tasks_of_this_release_are_scored_by_the_one_before(both: Both) -> None:
    tasks = both.submit(both.now)
    with both.working(both.before):
        eventually(lambda: both.all_scored(tasks), within=120, every=0.2)
    assert both.rows_of(tasks) == dict.fromkeys(INPUTS, sum(SIZES))
    for task in tasks:  # and can be read by either
        assert both.before.client.get(f"/task/{task}").json()["status"] == "SUCCESS"
        assert both.now.client.get(f"/task/{task}").json()["status"] == "SUCCESS"


@pytest.mark.timeout(300)
def test_both_releases_work_side_by_side(both: Both) -> None:
    with both.working(both.before, both.now):
        tasks = [task for _ in range(3) for platform in (both.before, both.now) for task in both.submit(platform)]
        eventually(lambda: both.all_scored(tasks), within=120, every=0.2)
    assert both.rows_of(tasks) == dict.fromkeys(INPUTS, 6 * sum(SIZES))


def test_the_release_before_runs_on_this_schema(both: Both) -> None:
    ready = both.before.client.get("/health/ready")
    assert (ready.status_code, ready.json()["schema_revision"]) == (200, "ok")
    task = accepted(both.now.client.post("/submit", json=[REPORT]))
    assert both.before.client.get("/tasks").json()["tasks"][0]["task_id"] == task
    assert both.before.client.post(f"/task/{task}/cancel").json()["status"] == "REVOKED"
    assert both.now.client.get(f"/task/{task}").json()["status"] == "REVOKED"


def test_a_key_sent_to_the_release_before_returns_the_same_task_from_this_one(both: Both) -> None:
    """A client that tries again during an upgrade reaches either."""
    key = {"Idempotency-Key": "sent-to-both"}
    first = both.before.client.post("/submit", json=[REPORT], headers=key)
    again = both.now.client.post("/submit", json=[REPORT], headers=key)
    assert accepted(again) == accepted(first)


@pytest.mark.timeout(300)
def test_what_this_release_gave_back_costs_no_attempt_after_a_rollback(both: Both) -> None:
    tasks = both.submit(both.now)
    for _ in range(4):  # more often than a task may be lost
        with both.engine.begin() as connection:
            for model in INPUTS:
                ids = [UUID(task) for task in tasks]
                claimed = transitions.claim(connection, model, ids, timedelta(minutes=1), max_inputs=10_000)
                transitions.give_back(connection, [task.claim for task in claimed])
    with both.working(both.before):
        eventually(lambda: both.all_scored(tasks), within=120, every=0.2)
