"""A version goes live without a restart: on a handler, a worker and rescue that run all the while."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, make_url, text

from registry import administration
from store import workers
from store.states import Status
from tests.artifacts import broken, recalibrated
from tests.faults.proxy import Proxy
from tests.running import REPORT, Platform, eventually


@pytest.fixture
def platform(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Platform]:
    (tmp_path / "logs").mkdir()
    settings = {"MODEL_CACHE": str(tmp_path / "cache"), "WORKER_CONCURRENCY": "2"}
    with Platform(database_url, redis_url, tmp_path / "logs", **settings) as platform:
        eventually(lambda: len(processes(platform)) == 2)
        yield platform


def predict(platform: Platform) -> dict[str, Any]:
    answer = platform.client.post("/predict", json=REPORT)
    assert answer.status_code == 200, answer.text
    task: dict[str, Any] = answer.json()
    return task


def change(engine: Engine, what: Any, *arguments: Any) -> None:
    with engine.begin() as connection:
        what(connection, *arguments)


def processes(platform: Platform) -> dict[str, set[str]]:
    """Return the versions of the report scorer that the worker processes have loaded."""
    workers = platform.client.get("/workers").json()
    return {worker["id"]: {one["version"] for one in worker["models"]} for worker in workers}


def all_have(platform: Platform, version: str) -> bool:
    return all(versions == {version} for versions in processes(platform).values())


def test_a_version_goes_live_and_back_without_a_restart(platform: Platform, engine: Engine, tmp_path: Path) -> None:
    before, ids = predict(platform), processes(platform).keys()
    change(engine, administration.add, recalibrated(tmp_path, "1.1.0", 3.0), "ada")
    assert predict(platform)["model_version"] == "1.0.0", "a candidate scores nothing"
    change(engine, administration.promote, "report_scorer", "1.1.0", "ada")
    eventually(lambda: all_have(platform, "1.1.0"))
    after = predict(platform)
    assert after["model_version"] == "1.1.0"
    assert after["score"] != before["score"]
    assert platform.client.get("/models/report_scorer").json()["version"] == "1.1.0"
    eventually(lambda: platform.client.get("/v2/models/report_scorer").json()["versions"] == ["1.1.0"])
    change(engine, administration.roll_back, "report_scorer", "ada")
    eventually(lambda: all_have(platform, "1.0.0"))
    assert predict(platform)["score"] == before["score"]
    assert processes(platform).keys() == ids, "no process was replaced"


def test_a_stream_of_tasks_loses_and_mixes_none_while_versions_change(
    platform: Platform, engine: Engine, tmp_path: Path
) -> None:
    change(engine, administration.add, recalibrated(tmp_path, "1.1.0", 3.0), "ada")
    predict(platform)
    ids = []
    for number in range(300):
        if number in (60, 180):
            version = "1.1.0" if number == 60 else "1.0.0"
            change(engine, administration.promote, "report_scorer", version, "ada")
        answer = platform.client.post("/submit", json=[REPORT] * 40)
        assert answer.status_code == 202, answer.text
        ids.append(answer.json()["task_id"])
        time.sleep(0.02)
    eventually(lambda: all_have(platform, "1.0.0"))
    for task_id in ids:
        task = platform.finished(task_id)
        assert task["status"] == Status.SUCCESS, task
    with engine.connect() as connection:
        assert _mixed(connection) == 0
        assert _versions(connection) == {"1.0.0", "1.1.0"}


def _mixed(connection: Connection) -> int:
    """Return how many tasks have predictions of another version than the task's."""
    query = "SELECT count(*) FROM report_scores AS p JOIN tasks AS t ON t.id = task_id"
    return int(connection.execute(text(f"{query} WHERE p.model_version <> t.model_version")).scalar_one())


def _versions(connection: Connection) -> set[str]:
    return set(connection.execute(text("SELECT DISTINCT model_version FROM report_scores")).scalars())


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_at_work(
    platform: Platform, engine: Engine, tmp_path: Path
) -> None:
    ids = processes(platform).keys()
    change(engine, administration.add, broken(tmp_path, "9.9.9"), "ada")
    change(engine, administration.promote, "report_scorer", "9.9.9", "ada")
    unloaded = eventually(lambda: platform.client.get("/health/ready").json()["unloaded"].get("report_scorer"))
    assert "9.9.9" in unloaded
    assert predict(platform)["model_version"] == "1.0.0"
    assert processes(platform).keys() == ids


def test_a_retired_model_takes_nothing_and_its_results_stay(platform: Platform, engine: Engine) -> None:
    done = predict(platform)
    platform.worker.stop()
    waiting = platform.client.post("/submit", json=[REPORT]).json()["task_id"]
    change(engine, administration.retire, "report_scorer", None, "ada", "not needed")
    refused = eventually(lambda: _refused(platform))
    assert refused["title"] == "No live version"
    ended = eventually(lambda: _ended(platform, waiting))
    assert ended["status"] == Status.FAILURE
    assert "no longer served" in ended["error"]
    assert platform.client.get(f"/task/{done['task_id']}").json()["score"] == done["score"]


def _refused(platform: Platform) -> dict[str, Any] | None:
    answer = platform.client.post("/submit", json=[REPORT])
    problem: dict[str, Any] = answer.json()
    return problem if answer.status_code == 409 else None


def _ended(platform: Platform, task_id: str) -> dict[str, Any] | None:
    task: dict[str, Any] = platform.client.get(f"/task/{task_id}").json()
    return task if task["status"] not in (Status.PENDING, Status.STARTED) else None


def test_a_worker_whose_connections_fell_silent_follows_all_the_same(
    database_url: str, redis_url: str, engine: Engine, tmp_path: Path
) -> None:
    """A firewall that forgets a connection ends it for nobody: whoever waits for an answer waits for ever."""
    (tmp_path / "logs").mkdir()
    address = make_url(database_url)
    assert address.port is not None
    proxy = Proxy(address.port)
    through = address.set(port=proxy.port).render_as_string(hide_password=False)
    settings = {"MODEL_CACHE": str(tmp_path / "cache"), "DATABASE_TIMEOUT_SECONDS": "2"}
    change(engine, administration.add, recalibrated(tmp_path, "1.1.0", 3.0), "ada")
    try:
        with Platform(through, redis_url, tmp_path / "logs", **settings) as platform:
            eventually(lambda: all_have(platform, "1.0.0"))
            main = platform.worker.pid
            proxy.silence()
            change(engine, administration.promote, "report_scorer", "1.1.0", "ada")
            eventually(lambda: _loaded(engine) == {("report_scorer", "1.1.0")})
            assert platform.worker.process.poll() is None, "its main process looks again, and need not end for that"
            assert platform.worker.pid == main
    finally:
        proxy.stop()


def _loaded(engine: Engine) -> set[tuple[str, str]]:
    with engine.connect() as connection:
        return set(workers.processes_by_version(connection))
