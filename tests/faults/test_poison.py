"""Inputs that raise, kill or hang a worker fail with their reason, and harm no other."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.faults import catalogue
from tests.running import Platform

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

QUICK = {"LEASE_SECONDS": "2", "RESCUE_INTERVAL_SECONDS": "0.5", "REPUBLISH_AFTER_SECONDS": "2"}
GOOD = 12
LOST = "worker lost 3 times while scoring this task"


@pytest.fixture(params=["celery", "pool"])
def serving(
    request: pytest.FixtureRequest, database_url: str, redis_url: str, engine: Engine, tmp_path: Path
) -> Iterator[Platform]:
    """A platform that serves the faulty model."""
    catalogue.create_table(engine)
    settings = catalogue.copy_with_faulty(tmp_path)
    with Platform(database_url, redis_url, tmp_path, **QUICK, **settings, ENGINE=request.param) as platform:
        yield platform


def submit(platform: Platform, act: str, *numbers: int) -> str:
    orders = [{"act": act, "number": number} for number in numbers]
    answer = platform.client.post("/models/faulty/submit", json=orders)
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


def ended(platform: Platform, task_id: str) -> dict[str, object]:
    """Wait for longer than one request may."""
    for _ in range(3):
        task: dict[str, object] = platform.client.get(f"/task/{task_id}", headers={"Prefer": "wait=50"}).json()
        if task["status"] not in ("PENDING", "STARTED"):
            break
    return task


@pytest.mark.parametrize(
    ("act", "error"),
    [
        ("raise", "ValueError: this input is poison"),
        ("exit", LOST),
        ("hang", "scoring took longer than 2 s"),
        ("hang deaf", LOST),
    ],
)
def test_poison_fails_with_its_reason_and_harms_no_other(
    serving: Platform, engine: Engine, act: str, error: str
) -> None:
    before = [submit(serving, "score", number) for number in range(GOOD)]
    poison = submit(serving, act, 1, 2)
    after = [submit(serving, "score", number, number + 1) for number in range(GOOD)]
    task = ended(serving, poison)
    assert (task["status"], task["error"]) == ("FAILURE", error)
    for number in range(GOOD):
        assert ended(serving, before[number])["double"] == [2 * number]
        assert ended(serving, after[number])["double"] == [2 * number, 2 * number + 2]
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT count(*), count(DISTINCT (task_id, position)) FROM faulty_answers"))
        assert tuple(stored.one()) == (3 * GOOD, 3 * GOOD)
        kept = connection.execute(text("SELECT CAST(task_id AS text) FROM task_inputs")).scalars().all()
        assert kept == [poison]  # a failed task can be replayed
        if error == LOST:
            most = connection.execute(text("SELECT max(attempt) FROM tasks WHERE status = 'SUCCESS'")).scalar_one()
            assert most <= 3
