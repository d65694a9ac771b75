"""Whoever can write to Redis can run nothing and stop nothing: what is not our publisher's is refused."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine, text

from broker.envelope import fault
from tests.integration.hostile_messages import QUEUE, genuine, malformed, pickled
from tests.running import REPORT, Platform, eventually


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
        eventually(lambda count=count: len(refused(own)) == count or own.worker.process.poll() is not None, within=10)
        assert own.worker.process.poll() is None, what
        assert len(refused(own)) == count, what
    task = own.finished(own.submit(REPORT))
    assert task["status"] == "SUCCESS"
    assert own.worker.pid == parent
    assert queue.hlen("unacked") == 0
    assert queue.llen(QUEUE) == 0


def test_a_malformed_order_to_all_workers_stops_none(own: Platform, queue: redis.Redis, tmp_path: Path) -> None:
    channel = "/15.celery.pidbox"  # of Redis's database 15
    for message in (
        *malformed().values(),
        *(json.dumps(message).encode() for message in pickled(tmp_path / "created")),
    ):
        assert queue.publish(channel, message) == 1, "the worker no longer listens"
    time.sleep(1)
    assert own.worker.process.poll() is None
    assert not (tmp_path / "created").exists()
    assert own.finished(own.submit(REPORT))["status"] == "SUCCESS"


def test_ids_that_nobody_has_are_scored_for_nobody(own: Platform, queue: redis.Redis, engine: Engine) -> None:
    done = own.submit(REPORT)
    own.finished(done)
    queue.lpush(QUEUE, json.dumps(genuine(["019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01", done])))
    own.finished(own.submit(REPORT))
    eventually(lambda: queue.hlen("unacked") == 0)
    assert refused(own) == []
    with engine.connect() as connection:
        assert connection.execute(
            text("SELECT count(*), max(attempt) FROM report_scores JOIN tasks ON id = task_id")
        ).one() == (2, 1)


def test_what_the_publisher_writes_is_let_through() -> None:
    assert fault(genuine(["019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"]), QUEUE) is None
