"""What may lie in Redis: messages doubled and shuffled, garbage, lies, and other types under the names of our keys."""

import random
import time
from collections.abc import Sequence
from uuid import UUID, uuid4

import redis
from sqlalchemy import text

from broker.config import create_celery
from broker.message import ALL_LANES, Chunk, Lane, QueuedTask, list_of, lists_of, queue_of, write
from broker.redis_broker import RedisBroker
from serving import catalogue
from tests.faults.site import Site

AWAY = 1.5
"""Seconds for which a key has another type."""

MOST = 20
"""Messages of a queue that are doubled at a time."""


def duplicate_and_reorder(site: Site, chance: random.Random) -> None:
    """Put messages for tasks of any state into Redis, in any order, and shuffle and double those that wait."""
    tasks = _recent(site)
    publisher = RedisBroker(site.valkey.url, catalogue.bounds)
    with site.one_at_redis, redis.Redis.from_url(site.valkey.url) as client:
        for _ in range(10):
            some = chance.sample(tasks, len(tasks) // 5)
            publisher.publish([QueuedTask(*task, lane=chance.choice(ALL_LANES).number) for task in some])
            for queue in [key for key in client.keys("score.*") if client.type(key) == b"list"]:
                if waiting := client.lrange(queue, 0, MOST):
                    client.lpush(queue, *chance.sample(waiting, len(waiting)))
            time.sleep(0.1)


def send_garbage(site: Site, chance: random.Random) -> None:
    """Put messages into a queue that no handler has sent."""
    model = chance.choice(list(catalogue.specs()))
    queue = queue_of(model)
    with site.one_at_redis, create_celery(site.valkey.url) as app, redis.Redis.from_url(site.valkey.url) as client:
        RedisBroker(site.valkey.url, catalogue.bounds).publish(
            [QueuedTask(uuid4(), model, 1, 1) for _ in range(10)], alone=True
        )
        for kwargs in ({}, {"task_ids": ["no id"]}, {"task_ids": 7}):
            app.send_task(queue, kwargs=kwargs, queue=queue)
        app.send_task("score.unknown", queue=queue)
        for garbage in (b"not JSON", b"{}", b"[1]", b'{"body": "", "headers": {}, "properties": {}}'):
            client.lpush(queue, garbage)


def send_lies(site: Site, chance: random.Random) -> None:
    """Put well-formed messages into Redis that say what is not true, and orders to all workers about real tasks."""
    tasks, models = _recent(site), list(catalogue.specs())
    ids = [task_id for task_id, *_ in tasks]
    with site.one_at_redis, create_celery(site.valkey.url) as app, redis.Redis.from_url(site.valkey.url) as client:
        for _ in range(5):
            for task_id, _, _, priority in chance.sample(tasks, len(tasks) // 10):
                model = chance.choice(models)  # of another model, mostly; and in a second
                claimed = Chunk([task_id], chance.choice((1, 2**62)))
                lie = write(queue_of(model), chance.choice(ALL_LANES), claimed, chance.choice((1, 60)))
                client.lpush(list_of(model, priority, chance.choice(ALL_LANES).number), lie)
            model = chance.choice(models)
            client.rpush(
                queue_of(model), write(queue_of(model), Lane(0), Chunk(ids or [uuid4()], 1), 1)
            )  # the next to be taken
            client.lpush(queue_of(model), write(queue_of(model), Lane(0), Chunk([uuid4() for _ in range(5000)], 1), 60))
            app.control.revoke([str(task_id) for task_id in ids], terminate=True)
            app.control.rate_limit(queue_of(model), "1/h")
            app.control.cancel_consumer(queue_of(model))
            time.sleep(0.2)


def change_types(site: Site, chance: random.Random) -> None:
    """Keep something else under the names of our keys for a while; what was there is gone."""
    names = [name for model in catalogue.specs() for name in lists_of(model)]
    names += ["_kombu.binding.celery.pidbox", "_kombu.binding.celeryev"]
    chosen = chance.sample(names, 24)
    with site.one_at_redis, redis.Redis.from_url(site.valkey.url) as client:
        with client.pipeline(transaction=True) as at_once:  # or somebody would publish in between
            at_once.delete(*chosen)
            for name in chosen:
                at_once.xadd(name, {"a": "stream"})
            at_once.execute()
        time.sleep(AWAY)
        client.delete(*chosen)


def _recent(site: Site) -> Sequence[tuple[UUID, str, int, int]]:
    with site.one_at_postgres, site.engine.connect() as connection:
        recent = connection.execute(text("SELECT id, model, n_inputs, priority FROM tasks ORDER BY id DESC LIMIT 300"))
        return [tuple(row) for row in recent]  # type: ignore[misc]
