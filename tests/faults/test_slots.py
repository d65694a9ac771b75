"""A worker that Redis did not listen to for a moment goes on taking messages."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Queue
from uuid_utils.compat import uuid7

from broker.config import OPTIONS
from broker.message import Bounds, QueuedTask, queue_of
from broker.redis_broker import RedisBroker
from devstack.embedded import ServerProcess, start_valkey
from models.report_scorer.spec import SPEC
from tests.running import temporary_open_folder
from worker.celery import transport

QUEUE = queue_of(SPEC.name)
BOUNDS: Bounds = {SPEC.name: (1, SPEC.time_limit)}.__getitem__
IMPATIENT = {**OPTIONS["broker_transport_options"], "socket_timeout": 0.3}


@pytest.fixture
def valkey() -> Iterator[ServerProcess]:
    """A server that a test may freeze."""
    with temporary_open_folder() as folder:
        valkey = start_valkey(folder)
        yield valkey
        valkey.stop()


@pytest.fixture
def connection(valkey: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A worker's connection, with two messages in its queue."""
    monkeypatch.setattr(transport.Transport, "bounds", staticmethod(BOUNDS), raising=False)
    RedisBroker(valkey.url, BOUNDS).publish([QueuedTask(uuid7(), SPEC.name, 1, 1) for _ in range(2)], alone=True)
    with Connection(valkey.url, transport=transport.Transport, transport_options=IMPATIENT) as connection:
        yield connection


def one_at_a_time(connection: Connection, taken: list[Any]) -> Consumer:
    channel = connection.channel()
    channel.basic_qos(0, 1, False)
    return Consumer(channel, [Queue(QUEUE)], on_message=taken.append)


def test_an_acknowledgement_needs_no_redis_and_makes_room_for_the_next(
    valkey: ServerProcess, connection: Connection
) -> None:
    taken: list[Any] = []
    with one_at_a_time(connection, taken):
        connection.drain_events(timeout=5)
        valkey.process.send_signal(signal.SIGSTOP)
        taken[0].ack()
        valkey.process.send_signal(signal.SIGCONT)
        connection.drain_events(timeout=5)
    assert len(taken) == 2


def test_messages_are_taken_from_a_redis_that_is_full(valkey: ServerProcess, connection: Connection) -> None:
    taken: list[Any] = []
    with one_at_a_time(connection, taken), redis.Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory", "1")
        for _ in range(2):
            connection.drain_events(timeout=5)
            taken[-1].ack()
        assert client.exists("unacked") == 0
    assert len(taken) == 2
