"""A worker told WORKER_AUTOSCALE: a burst makes it grow, a quiet time makes it shrink, and nothing is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.faults import catalogue
from tests.running import Platform, eventually

QUICK = {
    "WORKER_AUTOSCALE": "1,3",
    "AUTOSCALE_WINDOW_SECONDS": "3",
    "AUTOSCALE_LEAD_SECONDS": "1",
    "AUTOSCALE_CLEAR_SECONDS": "2",
    "AUTOSCALE_QUIET_SECONDS": "3",
}


@pytest.fixture
def platform(database_url: str, redis_url: str, engine: Engine, tmp_path: Path) -> Iterator[Platform]:
    catalogue.create_table(engine)
    settings = catalogue.copy_with_faulty(tmp_path) | {"WORKER_MODELS": "faulty"}
    with Platform(database_url, redis_url, tmp_path, **QUICK, **settings) as platform:
        yield platform


def ready(platform: Platform) -> int:
    count: int = platform.client.get("/health/ready").json()["models"]["faulty"]
    return count


def submit(platform: Platform, number: int) -> str:
    answer = platform.client.post("/models/faulty/submit", json=[{"act": "sleep", "number": number}])
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


@pytest.mark.timeout(180)
def test_a_burst_makes_it_grow_and_a_quiet_time_makes_it_shrink(platform: Platform, engine: Engine) -> None:
    assert ready(platform) == 1
    tasks = [submit(platform, number) for number in range(40)]
    eventually(lambda: ready(platform) == 3)
    for task_id in tasks:
        assert platform.finished(task_id)["status"] == "SUCCESS"
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT count(*), count(DISTINCT task_id) FROM faulty_answers")).one()
    assert tuple(stored) == (40, 40)
    eventually(lambda: "processes=1" in platform.worker.log.read_text())
    eventually(lambda: ready(platform) == 1)
    assert platform.finished(submit(platform, 41))["status"] == "SUCCESS"


def test_bounds_that_are_the_wrong_way_round_are_refused_with_the_reason(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    platform = Platform(database_url, redis_url, tmp_path, WORKER_AUTOSCALE="4,2")
    worker = platform.start_worker()
    assert worker.process.wait(60) != 0
    assert "4 processes at least are more than 2 at most" in worker.log.read_text()
