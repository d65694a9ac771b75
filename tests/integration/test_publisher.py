"""What the publisher writes into Redis is what Celery would have written."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from uuid_utils.compat import uuid7

from broker.broker import PublishFailed
from broker.config import create_celery
from broker.message import ALL_LANES, KILL, PRIORITIES, Lane, QueuedTask, fault, list_of, queue_of
from broker.redis_broker import RedisBroker

MODEL = "report_scorer"
LIMIT = 60
NOT_NEEDED = {"reply_to", "kwargsrepr"}
"""Celery's properties for results, and for brokers other than Redis."""

BY_CHANCE = {"delivery_tag", "origin"}

FOR_TURNS = {"lane", "inputs"}
"""Properties of our own, by which workers take from the lanes in turns."""


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def publisher(redis_url: str) -> RedisBroker:
    return RedisBroker(redis_url, lambda _: (10_000, LIMIT))


def by_celery(redis_url: str, client: redis.Redis, task_id: str, priority: int) -> dict[str, Any]:
    with create_celery(redis_url) as app:
        app.send_task(
            queue_of(MODEL),
            kwargs={"task_ids": [task_id]},
            kwargsrepr=f"task_ids: {task_id}",
            queue=queue_of(MODEL),
            priority=priority,
            task_id=task_id,
            soft_time_limit=LIMIT,
            time_limit=LIMIT + KILL,
        )
    return taken(client, priority)


def taken(client: redis.Redis, priority: int, lane: int = 0) -> dict[str, Any]:
    message = client.rpop(list_of(MODEL, priority, lane))
    assert isinstance(message, bytes)
    document: dict[str, Any] = json.loads(message)
    return document


@pytest.mark.parametrize("priority", PRIORITIES)
def test_a_message_is_what_celery_would_have_written(
    publisher: RedisBroker, client: redis.Redis, redis_url: str, priority: int
) -> None:
    task_id = uuid7()
    theirs = by_celery(redis_url, client, str(task_id), priority)
    publisher.publish([QueuedTask(task_id, MODEL, 1, priority)])
    ours = taken(client, priority)
    assert json.loads(base64.b64decode(ours.pop("body"))) == json.loads(base64.b64decode(theirs.pop("body")))
    for part in ("headers", "properties"):
        written, expected = ours.pop(part), theirs.pop(part)
        differ = {name for name in expected.keys() | written.keys() if expected.get(name) != written.get(name)}
        assert differ <= NOT_NEEDED | BY_CHANCE | FOR_TURNS
    assert ours == theirs


def test_chunks_are_let_through_and_counted(publisher: RedisBroker, client: redis.Redis) -> None:
    ids = [uuid7() for _ in range(3)]
    three = [QueuedTask(task_id, MODEL, 6_000, 0) for task_id in ids]
    assert publisher.publish(three) == {(MODEL, Lane(0)): 3}
    one = [QueuedTask(task_id, MODEL, 1, 2, lane=1) for task_id in ids]
    assert publisher.publish(one) == {(MODEL, Lane(2, 1)): 1}
    assert publisher.waiting(MODEL) == dict.fromkeys(ALL_LANES, 0) | {Lane(0): 3, Lane(2, 1): 1}
    assert publisher.following(MODEL) == {Lane(0): (ids[0],), Lane(2, 1): tuple(ids)}
    message = taken(client, 2, lane=1)
    assert fault(message, queue_of(MODEL)) is None
    assert json.loads(base64.b64decode(message["body"]))[1] == {"task_ids": [str(task_id) for task_id in ids]}


def test_a_connection_that_redis_has_closed_is_opened_again(publisher: RedisBroker, client: redis.Redis) -> None:
    assert publisher.waiting(MODEL)[Lane(1)] == 0
    client.client_kill_filter(_type="normal", skipme=True)
    publisher.publish([QueuedTask(uuid7(), MODEL, 1, 1)])
    assert publisher.waiting(MODEL)[Lane(1)] == 1


def test_a_redis_that_is_away_is_said() -> None:
    with pytest.raises(PublishFailed):
        RedisBroker("redis://127.0.0.1:9/0", lambda _: (10_000, LIMIT)).publish([QueuedTask(uuid7(), MODEL, 1, 1)])
