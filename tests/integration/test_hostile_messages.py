"""Whoever can write to Redis can run nothing and stop nothing: what is not our publisher's is refused."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine, text

from broker.message import fault, list_of, lists_of
from store.engine import connect
from tests.conftest import Servers, empty_redis, new_database
from tests.integration.hostile_messages import QUEUE, genuine, malformed, pickled
from tests.running import REPORT, Platform, Program, eventually


@pytest.fixture
def own(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Platform]:
    with Platform(database_url, redis_url, tmp_path, LOG_FORMAT="json") as platform:
        yield platform


@pytest.fixture
def queue(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def refused(platform: Platform) -> list[dict[str, object]]:
    lines = (platform.logs / "worker.log").read_text().splitlines()
    return [
        line
        for line in map(json.loads, filter(lambda line: line.startswith("{"), lines))
        if line["event"] == "message_refused"
    ]


def test_a_pickle_in_the_queue_is_not_run(own: Platform, queue: redis.Redis, tmp_path: Path) -> None:
    created = tmp_path / "created"
    messages = pickled(created)
    queue.lpush(QUEUE, *map(json.dumps, messages))
    eventually(lambda: len(refused(own)) == len(messages))
    assert own.finished(own.submit(REPORT))["status"] == "SUCCESS"
    assert not created.exists()


def test_the_worker_survives_every_malformed_message_and_scores_the_next(own: Platform, queue: redis.Redis) -> None:
    parent = own.worker.pid
    for count, (what, message) in enumerate(malformed().items(), start=1):
        queue.lpush(QUEUE, message)
        eventually(lambda count=count: len(refused(own)) == count or own.worker.process.poll() is not None)
        assert own.worker.process.poll() is None, what
        assert len(refused(own)) == count, what
    task = own.finished(own.submit(REPORT))
    assert task["status"] == "SUCCESS"
    assert own.worker.pid == parent
    assert queue.llen(QUEUE) == 0


def test_a_malformed_order_to_all_workers_stops_none(own: Platform, queue: redis.Redis, tmp_path: Path) -> None:
    channel = "/15.celery.pidbox"  # of Redis's database 15
    for message in (
        *malformed().values(),
        *(json.dumps(message).encode() for message in pickled(tmp_path / "created")),
    ):
        eventually(lambda message=message: queue.publish(channel, message) == 1)  # it listens, or does so again
    time.sleep(1)
    assert own.worker.process.poll() is None
    assert not (tmp_path / "created").exists()
    assert own.finished(own.submit(REPORT))["status"] == "SUCCESS"


def test_ids_that_nobody_has_are_scored_for_nobody(own: Platform, queue: redis.Redis, engine: Engine) -> None:
    done = own.submit(REPORT)
    own.finished(done)
    queue.lpush(QUEUE, json.dumps(genuine(["019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01", done])))
    own.finished(own.submit(REPORT))
    assert refused(own) == []
    with engine.connect() as connection:
        assert connection.execute(
            text("SELECT count(*), max(attempt) FROM report_scores JOIN tasks ON id = task_id")
        ).one() == (2, 1)


def test_what_the_publisher_writes_is_let_through() -> None:
    assert fault(genuine(["019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"]), QUEUE) is None


@pytest.fixture(scope="module")
def lied_to(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that notices soon what Redis has lost."""
    quick = {"RESCUE_INTERVAL_SECONDS": "0.5", "REPUBLISH_AFTER_SECONDS": "2"}
    url, logs = new_database(servers, template), tmp_path_factory.mktemp("lied-to")
    with Platform(url, empty_redis(servers, 14), logs, **quick) as platform:
        yield platform


@pytest.fixture
def its_queue(lied_to: Platform) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(lied_to.environment["REDIS_URL"]) as client:
        yield client


@pytest.fixture
def its_engine(lied_to: Platform) -> Iterator[Engine]:
    engine = connect(lied_to.database_url)
    yield engine
    engine.dispose()


def test_a_message_that_lies_about_its_time_limit_fails_no_task_and_holds_up_none(
    lied_to: Platform, its_queue: redis.Redis, its_engine: Engine
) -> None:
    stop(lied_to.worker)
    lies = [[1, 1], [10**9, 10**9], [1, 10**9], [2**62, 2**62]]
    tasks = [lied_to.submit(*[REPORT] * 2_000) for _ in lies]
    its_queue.delete(*lists_of("report_scorer"))
    for task_id, lie in zip(tasks, lies, strict=True):
        message = genuine([task_id])
        message["headers"]["timelimit"] = lie
        its_queue.lpush(QUEUE, json.dumps(message))
    lied_to.worker.process.send_signal(signal.SIGCONT)
    for task_id in tasks:
        assert lied_to.finished(task_id)["status"] == "SUCCESS"
    with its_engine.connect() as connection:
        attempts = connection.execute(
            text("SELECT attempt FROM tasks WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": tasks}
        )
        assert set(attempts.scalars()) == {1}


def test_a_message_of_another_model_claims_nothing(
    lied_to: Platform, its_queue: redis.Redis, its_engine: Engine
) -> None:
    answer = lied_to.client.post("/models/text_classifier/submit", json=[{"text": "an orbit"}])
    others = answer.json()["task_id"]  # no worker here takes it
    its_queue.lpush(QUEUE, json.dumps(genuine([others])))
    assert lied_to.finished(lied_to.submit(REPORT))["status"] == "SUCCESS"
    with its_engine.connect() as connection:
        row = connection.execute(text("SELECT status, attempt FROM tasks WHERE id = :id"), {"id": others}).one()
    assert tuple(row) == ("PENDING", 0)


def test_ids_that_are_named_twice_are_scored_once(
    lied_to: Platform, its_queue: redis.Redis, its_engine: Engine
) -> None:
    stop(lied_to.worker)
    task_id = lied_to.submit(REPORT)
    its_queue.lpush(QUEUE, *[json.dumps(genuine([task_id] * 256))] * 3)
    lied_to.worker.process.send_signal(signal.SIGCONT)
    assert lied_to.finished(task_id)["status"] == "SUCCESS"
    with its_engine.connect() as connection:
        stored = text("SELECT count(*) FROM report_scores WHERE task_id = :id")
        assert connection.execute(stored, {"id": task_id}).scalar_one() == 1


def stop(worker: Program) -> None:
    worker.process.send_signal(signal.SIGSTOP)  # its processes go on, and take nothing new


WRONG_TYPES = {
    "a text": lambda client, key: client.set(key, "x"),
    "a hash": lambda client, key: client.hset(key, "x", "y"),
    "a set": lambda client, key: client.sadd(key, "x"),
    "a stream of sorts": lambda client, key: client.zadd(key, {"x": 1}),
    "a list": lambda client, key: client.lpush(key, "x"),
}


def test_what_has_the_name_of_a_key_of_ours_and_is_another_thing_stops_nobody(
    lied_to: Platform, its_queue: redis.Redis
) -> None:
    for key in (*lists_of("report_scorer")[:4], list_of("report_scorer", 1), list_of("report_scorer", 2, 1)):
        for what, write in WRONG_TYPES.items():
            its_queue.delete(key)
            write(its_queue, key)
            assert lied_to.finished(lied_to.submit(REPORT))["status"] == "SUCCESS", (key, what)
    assert lied_to.worker.process.poll() is None
