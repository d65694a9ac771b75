"""A worker that Redis did not listen to for a moment goes on taking messages."""

import logging
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Queue
from uuid_utils.compat import uuid7

from broker.config import OPTIONS
from broker.message import queue_of
from broker.publisher import Publisher
from cli.embedded import Server, start_valkey
from models.report_scorer.spec import SPEC
from tests.running import temporary_open_folder
from worker import gate

QUEUE = queue_of(SPEC.name)
IMPATIENT = {**OPTIONS["broker_transport_options"], "socket_timeout": 0.3}


@pytest.fixture
def valkey() -> Iterator[Server]:
    """A server that a test may freeze."""
    with temporary_open_folder() as folder:
        valkey = start_valkey(folder)
        yield valkey
        valkey.stop()


@pytest.fixture
def connection(valkey: Server) -> Iterator[Connection]:
    """A worker's connection, with two messages in its queue."""
    Publisher(valkey.url, lambda _: (1, 60)).publish([(uuid7(), SPEC.name, 1, 1) for _ in range(2)], alone=True)
    with Connection(valkey.url, transport=gate.Transport, transport_options=IMPATIENT) as connection:
        yield connection


def one_at_a_time(connection: Connection, taken: list[Any]) -> Consumer:
    channel = connection.channel()
    channel.basic_qos(0, 1, False)
    return Consumer(channel, [Queue(QUEUE)], on_message=taken.append)


def test_an_acknowledgement_that_failed_leaves_no_slot_taken(valkey: Server, connection: Connection) -> None:
    taken: list[Any] = []
    with one_at_a_time(connection, taken) as consumer:
        connection.drain_events(timeout=5)
        valkey.process.send_signal(signal.SIGSTOP)
        taken[0].ack_log_error(logging.getLogger(__name__), connection.connection_errors)
        valkey.process.send_signal(signal.SIGCONT)
        assert taken[0].acknowledged is False  # Celery has logged that it could not
        assert consumer.channel.qos.can_consume()
        connection.drain_events(timeout=5)
    assert len(taken) == 2


def test_messages_are_taken_from_a_redis_that_is_full(valkey: Server, connection: Connection) -> None:
    taken: list[Any] = []
    with one_at_a_time(connection, taken), redis.Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory", "1")
        for _ in range(2):
            connection.drain_events(timeout=5)
            taken[-1].ack()
        assert client.exists("unacked") == 0
    assert len(taken) == 2
