"""Workers, messages and programs get lost; no task does. (The full fault suite is a suite of its own.)"""

from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import redis
from sqlalchemy import Engine, text

from store.engine import connect
from tests.running import REPORT, Platform, eventually, in_the_middle

QUICK = {"LEASE_SECONDS": "2", "RESCUE_INTERVAL_SECONDS": "0.5", "REPUBLISH_AFTER_SECONDS": "2"}
BATCH = 5_000


@pytest.fixture
def own(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Platform]:
    """A platform that a test may break."""
    with Platform(database_url, redis_url, tmp_path, **QUICK) as platform:
        yield platform


def started(platform: Platform) -> bool:
    return bool(platform.client.get("/tasks", params={"status": "STARTED"}).json()["tasks"])


def stop_in_the_middle_of_a_chunk(platform: Platform, process: psutil.Process) -> list[str]:
    """Freeze a worker process at a moment at which it owns tasks; return the tasks that were submitted for it."""
    task_ids = [platform.submit(*[REPORT] * BATCH) for _ in range(30)]

    def caught() -> bool:
        if not platform.client.get("/tasks", params={"status": "PENDING"}).json()["tasks"]:
            task_ids.append(platform.submit(*[REPORT] * BATCH))  # it has scored them all between two looks
        process.suspend()
        if in_the_middle(platform):
            return True
        process.resume()
        return False

    eventually(caught, every=0.01)
    return task_ids


def assert_each_input_scored_once(platform: Platform, engine: Engine, task_ids: list[str]) -> None:
    for task_id in task_ids:
        task = platform.finished(task_id)
        assert (task["status"], len(task["score"])) == ("SUCCESS", BATCH)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM report_scores")).scalar_one() == BATCH * len(task_ids)
        assert connection.execute(text("SELECT count(*) FROM task_inputs")).scalar_one() == 0


@pytest.mark.parametrize("victim", ["one of its processes", "the whole worker"])
def test_a_killed_worker_loses_no_task(own: Platform, engine: Engine, victim: str) -> None:
    worker = psutil.Process(own.worker.pid)
    child = worker.children()[0]
    task_ids = stop_in_the_middle_of_a_chunk(own, child)
    child.kill()
    if victim == "the whole worker":
        worker.kill()
        own.worker.process.wait()
        own.worker = own.start_worker()
    assert_each_input_scored_once(own, engine, task_ids)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT max(attempt) FROM tasks")).scalar_one() == 2


def test_a_redis_that_lost_everything_loses_no_task(own: Platform, engine: Engine, redis_url: str) -> None:
    task_ids = [own.submit(*[REPORT] * BATCH) for _ in range(20)]
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    assert_each_input_scored_once(own, engine, task_ids)


def test_a_stopped_worker_leaves_no_lease_and_no_name_behind(own: Platform, database_url: str) -> None:
    task_id = own.submit(REPORT)
    own.finished(task_id)
    own.worker.stop()
    engine = connect(database_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM workers")).scalar_one() == 0
        assert connection.execute(text("SELECT count(*) FROM tasks WHERE status = 'STARTED'")).scalar_one() == 0
    engine.dispose()
