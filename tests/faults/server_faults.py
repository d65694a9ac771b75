"""What can befall Redis, Postgres, and the connections to them. What was killed is started again."""

import random
import signal
import time
from uuid import uuid4

import redis
from sqlalchemy import text

from broker.config import create_celery
from broker.message import queue_of
from broker.publisher import Publisher
from models import catalogue
from models.report_scorer.spec import SPEC
from store.engine import connect
from tests.faults.proxy import Proxy
from tests.faults.site import DATABASE_TIMEOUT, Site

AWAY = 1.5
"""Seconds that a server or a connection stays away."""

SILENT = 6.5
"""Seconds that Redis is frozen: longer than the socket timeout of 5."""

MOST = 20
"""Messages of a queue that are doubled at a time."""


def flush_redis(site: Site, chance: random.Random) -> None:
    with site.one_at_redis, redis.Redis.from_url(site.valkey.url) as client:
        client.flushall()


def restart_redis_empty(site: Site, chance: random.Random) -> None:
    with site.one_at_redis:
        site.valkey.process.kill()
        time.sleep(AWAY)
        site.restart_redis()


def freeze_redis(site: Site, chance: random.Random) -> None:
    with site.one_at_redis:
        site.valkey.process.send_signal(signal.SIGSTOP)
        time.sleep(SILENT)
        site.valkey.process.send_signal(signal.SIGCONT)


def duplicate_and_reorder_messages(site: Site, chance: random.Random) -> None:
    """Put messages for tasks of any state into Redis, in any order, and shuffle and double those that wait."""
    with site.one_at_postgres, site.engine.connect() as connection:
        recent = connection.execute(text("SELECT id, model, n_inputs, priority FROM tasks ORDER BY id DESC LIMIT 300"))
        tasks = [tuple(row) for row in recent]
    publisher = Publisher(site.valkey.url, catalogue.bounds)
    with site.one_at_redis, redis.Redis.from_url(site.valkey.url) as client:
        for _ in range(10):
            publisher.publish(chance.sample(tasks, len(tasks) // 5))
            queues = [key for key in client.keys(f"{queue_of(SPEC.name)}*") if client.type(key) == b"list"]
            for queue in queues:
                if waiting := client.lrange(queue, 0, MOST):
                    client.lpush(queue, *chance.sample(waiting, len(waiting)))
            time.sleep(0.1)


def fill_redis(site: Site, chance: random.Random) -> None:
    """Let Redis refuse every write for want of memory, as `noeviction` has it."""
    with site.one_at_redis, redis.Redis.from_url(site.valkey.url) as client:
        client.config_set("maxmemory", "1")
        time.sleep(AWAY)
        client.config_set("maxmemory", "0")


def send_garbage(site: Site, chance: random.Random) -> None:
    """Put messages into the queue that no handler has sent."""
    with site.one_at_redis, create_celery(site.valkey.url) as app, redis.Redis.from_url(site.valkey.url) as client:
        publisher = Publisher(site.valkey.url, catalogue.bounds)
        publisher.publish([(uuid4(), SPEC.name, 1, 1) for _ in range(10)], alone=True)
        for kwargs in ({}, {"task_ids": ["no id"]}, {"task_ids": 7}):
            app.send_task(queue_of(SPEC.name), kwargs=kwargs, queue=queue_of(SPEC.name))
        app.send_task("score.unknown", queue=queue_of(SPEC.name))
        for garbage in (b"not JSON", b"{}", b"[1]", b'{"body": "", "headers": {}, "properties": {}}'):
            client.lpush(queue_of(SPEC.name), garbage)


def restart_postgres_at_once(site: Site, chance: random.Random) -> None:
    with site.one_at_postgres:
        site.postgres.process.send_signal(signal.SIGQUIT)  # "immediate": as after a crash, the log is replayed
        time.sleep(AWAY)
        site.restart_postgres()


def kill_postgres(site: Site, chance: random.Random) -> None:
    with site.one_at_postgres:
        site.postgres.process.kill()
        time.sleep(AWAY)
        site.restart_postgres()


def end_sessions(site: Site, chance: random.Random) -> None:
    """End every session, as an administrator or a failover does."""
    engine = connect(site.postgres.url)
    with site.one_at_postgres, engine.connect() as connection:
        others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        connection.execute(text(f"{others} AND backend_type = 'client backend'"))
    engine.dispose()


def cut(to: Proxy, chance: random.Random) -> None:
    with to.cut():
        time.sleep(AWAY)


def delay(to: Proxy, chance: random.Random) -> None:
    with to.delay(0.2):
        time.sleep(3)


def silence(to: Proxy, chance: random.Random) -> None:
    """Let every connection fall silent for ever without an end, as a firewall does that has forgotten them."""
    to.silence()
    time.sleep(DATABASE_TIMEOUT)


def reset(to: Proxy, chance: random.Random) -> None:
    for _ in range(3):
        to.reset()
        time.sleep(chance.uniform(0.1, 0.5))
