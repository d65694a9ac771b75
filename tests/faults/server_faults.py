"""What can befall Redis, and the connections to it and to Postgres. What was killed is started again."""

import random
import signal
import time

import redis
from sqlalchemy import make_url

from tests.faults.proxy import Proxy
from tests.faults.site import DATABASE_TIMEOUT, Site

AWAY = 1.5
"""Seconds that a server or a connection stays away."""

SILENT = 6.5
"""Seconds that Redis is frozen: longer than the socket timeout of 5."""


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


def fill_redis(site: Site, chance: random.Random) -> None:
    """Let Redis refuse every write for want of memory, as `noeviction` has it."""
    with site.one_at_redis, redis.Redis.from_url(site.valkey.url) as client:
        client.config_set("maxmemory", "1")
        time.sleep(AWAY)
        client.config_set("maxmemory", "0")


def change_redis_password(site: Site, chance: random.Random) -> None:
    """Ask for another password, and break the connections that know the old one."""
    password = make_url(site.valkey.url).password
    with site.one_at_redis, redis.Redis.from_url(site.valkey.url, single_connection_client=True) as client:
        client.config_set("requirepass", "another")
        try:
            for kind in ("normal", "pubsub"):
                client.client_kill_filter(_type=kind, skipme=True)
            time.sleep(2 * AWAY)
        finally:
            client.config_set("requirepass", password)


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
