"""Within a priority the models take turns, so that a busy one holds up no other."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from broker.message import QueuedTask
from broker.redis_broker import RedisBroker
from serving import catalogue
from store.tables import task_inputs, tasks
from tests.running import REPORT, Platform, eventually

BUSY, QUIET = "report_scorer", "text_classifier"
"""In the order in which the worker is told them, in which it would also look at their queues."""

MESSAGES = 20


@pytest.mark.parametrize("priority", [0, 1, 2])
def test_a_busy_model_does_not_hold_up_the_one_after_it(
    engine: Engine, database_url: str, redis_url: str, tmp_path: Path, priority: int
) -> None:
    """Both have a backlog of the same priority; that of the busy one has no end before the other's has."""
    with Platform(database_url, redis_url, tmp_path, WORKER_MODELS=f"{BUSY},{QUIET}") as platform:
        platform.worker.stop()
        busy = [QueuedTask(uuid7(), BUSY, 1, priority) for _ in range(MESSAGES)]
        quiet = [QueuedTask(uuid7(), QUIET, 1, priority) for _ in range(MESSAGES // 4)]
        with engine.begin() as connection:
            for task_id, model, *_ in [*busy, *quiet]:
                payload = json.dumps([REPORT if model == BUSY else {"text": "the puck"}]).encode()
                connection.execute(tasks.insert().values(id=task_id, model=model, n_inputs=1, priority=priority))
                connection.execute(task_inputs.insert().values(task_id=task_id, payload=payload))
        RedisBroker(redis_url, catalogue.bounds).publish([*busy, *quiet], alone=True)
        platform.worker = platform.start_worker()
        begun = text("SELECT model FROM tasks WHERE status = 'SUCCESS' ORDER BY started_at")

        def order() -> list[str]:
            with engine.connect() as connection:
                return list(connection.execute(begun).scalars())

        eventually(lambda: len(order()) == len(busy) + len(quiet))
    assert QUIET not in order()[-MESSAGES // 2 :], "the quiet model's tasks were begun last"
