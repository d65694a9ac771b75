"""Within a priority the models take turns, and so do the clients of a model: a busy one holds up no other."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from broker.message import QueuedTask
from broker.redis_broker import RedisBroker
from serving import catalogue
from store.engine import connect
from store.tables import task_inputs, tasks
from tests.conftest import NewClient, Servers, new_database
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


CHUNK = catalogue.bounds(BUSY)[0]


@contextmanager
def no_worker(platform: Platform) -> Iterator[None]:
    """Let what is submitted meanwhile wait."""
    platform.worker.stop()
    try:
        yield
    finally:
        platform.worker = platform.start_worker()


def submit(client: httpx.Client, inputs: int, **params: str) -> str:
    answer = client.post("/submit", json=[REPORT] * inputs, params=params)
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


def submit_job(client: httpx.Client, parts: int, rows: int) -> list[str]:
    """Return the tasks of a job of low priority."""
    job: str = client.post("/jobs", json={"model": BUSY}).json()["job_id"]
    part = "\n".join([json.dumps(REPORT)] * rows)
    tasks = []
    for number in range(parts):
        answer = client.post(
            f"/jobs/{job}/parts/{number}",
            content=part,
            headers={"Content-Type": "application/x-ndjson"},
            params={"first_row": number * rows + 1},
        )
        assert answer.status_code == 202, answer.text
        tasks.append(answer.json()["task_id"])
    return tasks


def ended(engine: Engine, *groups: list[str]) -> list[tuple[int, int]]:
    """Wait for the tasks of these groups. Return the group and the inputs of each, in the order of their ends."""
    place = {task_id: number for number, group in enumerate(groups) for task_id in group}
    query = text("""
        SELECT CAST(id AS text), status, n_inputs FROM tasks WHERE id = ANY(CAST(:ids AS uuid[]))
        ORDER BY finished_at, id
    """)

    def look() -> list[Any]:
        with engine.connect() as connection:
            rows = list(connection.execute(query, {"ids": list(place)}))
        return rows if all(row.status == "SUCCESS" for row in rows) else []

    return [(place[row.id], row.n_inputs) for row in eventually(look, within=120)]


def inputs_before(order: list[tuple[int, int]], group: int) -> int:
    """Return how many inputs of other groups ended before the first task of this one."""
    place = next(number for number, (of_group, _) in enumerate(order) if of_group == group)
    return sum(inputs for _, inputs in order[:place])


class TestClients:
    """What waits is submitted before the worker starts: all of it stands in the queue when the first chunk is taken."""

    def test_a_report_waits_for_two_chunks_of_another_client_at_most(
        self, closed: Platform, closed_engine: Engine, new_client: NewClient
    ) -> None:
        heavy, light = new_client(), new_client()
        with no_worker(closed):
            backlog = [submit(heavy, 2_000) for _ in range(40)]
            report = submit(light, 1)
        order = ended(closed_engine, backlog, [report])
        assert inputs_before(order, 1) <= 2 * CHUNK

    def test_so_it_does_while_the_backlog_is_being_worked_on(
        self, closed: Platform, closed_engine: Engine, new_client: NewClient
    ) -> None:
        heavy, light = new_client(), new_client()
        with no_worker(closed):
            backlog = [submit(heavy, 5_000) for _ in range(30)]
        eventually(lambda: heavy.get(f"/task/{backlog[0]}").json()["status"] == "SUCCESS")
        report = submit(light, 1)
        ended(closed_engine, backlog, [report])
        between = text("""
            SELECT coalesce(sum(tasks.n_inputs), 0) FROM tasks, (SELECT * FROM tasks WHERE id = :report) AS report
            WHERE tasks.id = ANY(CAST(:backlog AS uuid[]))
                AND tasks.finished_at BETWEEN report.submitted_at AND report.finished_at
        """)
        with closed_engine.connect() as connection:
            assert connection.scalar(between, {"report": report, "backlog": backlog}) <= 2 * CHUNK

    def test_a_report_of_low_priority_waits_for_two_chunks_of_two_jobs_which_take_turns(
        self, closed: Platform, closed_engine: Engine, new_client: NewClient
    ) -> None:
        first, second, light = new_client(), new_client(), new_client()
        with no_worker(closed):
            jobs = [submit_job(client, 12, 5_000) for client in (first, second)]
            report = submit(light, 1, priority="low")
        order = ended(closed_engine, *jobs, [report])
        assert inputs_before(order, 2) <= 2 * CHUNK
        ahead = 0
        for group, inputs in order:
            ahead += {0: inputs, 1: -inputs, 2: 0}[group]
            assert abs(ahead) <= 2 * CHUNK, order

    def test_priorities_come_before_turns(self, closed: Platform, closed_engine: Engine, new_client: NewClient) -> None:
        heavy, light = new_client(), new_client()
        with no_worker(closed):
            backlog = [submit(heavy, 5_000) for _ in range(8)]
            low = submit(light, 1, priority="low")
            high = [submit(heavy, 5_000, priority="high") for _ in range(8)]
        order = [group for group, _ in ended(closed_engine, backlog, [low], high)]
        assert order == sorted(order, key=[1, 2, 0].__getitem__)

    def test_a_clients_own_tasks_stay_in_their_order(
        self, closed: Platform, closed_engine: Engine, new_client: NewClient
    ) -> None:
        with no_worker(closed):
            client = new_client()
            backlog = [submit(client, 500) for _ in range(60)]
        order = [group for group, _ in ended(closed_engine, *([task_id] for task_id in backlog))]
        assert order == sorted(order)


@pytest.mark.parametrize("engine_of_platform", ["celery", "pool"])
def test_without_clients_jobs_take_turns_with_each_other_and_with_single_reports(
    servers: Servers, template: str, redis_url: str, tmp_path: Path, engine_of_platform: str
) -> None:
    settings = {"ENGINE": engine_of_platform, "WORKER_CONCURRENCY": "1"}
    with Platform(new_database(servers, template), redis_url, tmp_path, **settings) as platform:
        jobs = [submit_job(platform.client, 20, 5_000) for _ in range(2)]
        report = submit(platform.client, 1, priority="low")
        engine = connect(platform.database_url)
        order = ended(engine, *jobs, [report])
        engine.dispose()
    assert order[-1][0] != 2, "the report was last"
    assert len(order) == 41
