"""kombu's Redis transport, made to take turns, and to survive what others write into Redis and connections that break.

kombu ends the worker at the first message that is not JSON (https://github.com/celery/kombu/issues/2421,
https://github.com/celery/celery/issues/7975), and Celery trusts each header. Neither offers a hook before that, so the
subclasses here override private methods. A dropped message loses no task: rescue publishes the tasks that have no
message.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from queue import Empty
from time import monotonic
from typing import Any

import structlog
from celery import bootsteps
from kombu import asynchronous
from kombu.transport import TRANSPORT_ALIASES, redis
from redis import Connection, Redis, SSLConnection
from redis.exceptions import ResponseError

from broker.lanes import Turns
from broker.message import LANES, PRIORITIES, QUEUES, Bounds, Lane, fault, list_of, lists_of
from broker.redis_broker import drop_foreign

log = structlog.get_logger(__name__)

HARD_LIMIT_MARGIN = 300
"""Seconds beside the model's time limit until Celery ends a process that holds a message: claiming and finishing wait
for PostgreSQL up to a minute each. The process itself keeps the time limit (chunk.py), whatever the message says."""

EVENTS_INTERVAL = 0.1
"""Seconds for which the events of tasks, of which Flower lives, are collected."""

_READ_TIMEOUT = 5.0
"""Seconds for the rest of a command of which Redis has sent a part."""

_SHOWN = 500  # characters of an error, which may quote the message


class EventsStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Has Celery send collected events a few times a second.

    Left alone, it sends them in each turn of its loop, before it hands the message that has come to a worker process:
    a round trip to Redis, for which the task waits.
    """

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, consumer: Any) -> None:
        if consumer.hub is None:
            return
        dispatcher = consumer.event_dispatcher
        waiting = False

        def send() -> None:
            nonlocal waiting
            waiting = False
            dispatcher.flush()

        def send_later() -> None:
            nonlocal waiting
            if not waiting:
                waiting = True
                consumer.hub.call_later(EVENTS_INTERVAL, send)

        dispatcher.on_send_buffered = send_later

    def stop(self, consumer: Any) -> None:
        if consumer.event_dispatcher is not None:
            consumer.event_dispatcher.flush()


class _LeavesLoop:
    """Leaves the event loop before it is closed.

    A closed socket stays in the loop's poller while a forked process has it, too, and the next connection soon has its
    number. The loop then reads from that one although nothing has come, and waits for ever
    (https://github.com/celery/celery/issues/4321).
    """

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        loop, socket = asynchronous.get_event_loop(), self._sock  # type: ignore[attr-defined]
        # A forked process shares the poller with its parent, and must not take the parent's sockets out of it.
        if loop is not None and socket is not None and self.pid == os.getpid():  # type: ignore[attr-defined]
            loop.remove(socket)  # type: ignore[no-untyped-call]
        super().disconnect(*args, **kwargs)  # type: ignore[misc]


class PolledConnection(_LeavesLoop, Connection):
    """A connection to Redis."""


class PolledSSLConnection(_LeavesLoop, SSLConnection):
    """A connection over TLS."""


class Channel(redis.Channel):
    """Takes messages from Redis. A message that a worker has taken has left Redis."""

    # Leases in PostgreSQL recover what a lost worker held. A second note of it in Redis would cost each message two
    # transactions there, and could be lost, full, or somebody else's.
    ack_emulation = False
    do_restore = False

    connection_class = PolledConnection
    connection_class_ssl = PolledSSLConnection

    @cached_property
    def _commands(self) -> Redis:
        client: Redis = self.Client(connection_pool=self.pool)
        return client

    @contextmanager
    def conn_or_acquire(self, client: Redis | None = None) -> Iterator[Redis]:
        """Give one client for all commands. kombu makes one for each, which takes longer than the command."""
        yield client or self._commands

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for the next message: of the highest priority, the model whose turn it is, and its lane whose turn it is.

        kombu knows neither lanes nor a short way to write a command of 60 names, which takes redis-py .1 ms.
        """
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()  # type: ignore[assignment]
        names = [self.connection.order.names(queue, priority) for priority in PRIORITIES for queue in queues]
        wait = _bulk(str((self.brpop_timeout if timeout is None else timeout) or 0))
        command = b"*%d\r\n%b%b%b" % (2 + len(names) * LANES, _bulk("BRPOP"), b"".join(names), wait)
        self.client.connection.send_packed_command([command])

    def _brpop_read(self, **options: Any) -> Any:
        taken = self._take(lambda: super(Channel, self)._brpop_read(**options))  # type: ignore[no-untyped-call]
        if taken is None:
            raise Empty
        return taken

    @cached_property
    def subclient(self) -> Any:
        """The subscription to commands. redis-py reads it without a time limit, unless it is told one."""
        subscription = self._create_client(asynchronous=True).pubsub()  # type: ignore[no-untyped-call]
        subscription.parse_response = partial(subscription.parse_response, block=False, timeout=_READ_TIMEOUT)
        return subscription

    def _receive_one(self, subscription: Any) -> Any:
        # The loop may call although nothing has come; kombu would then wait for the next command, and take no message.
        if subscription.connection is None or not subscription.connection.can_read(timeout=0):
            raise Empty
        return self._take(lambda: super(Channel, self)._receive_one(subscription))  # type: ignore[no-untyped-call]

    def _take(self, take: Callable[[], Any]) -> Any:
        """Take and deliver one message. Return None for one that cannot be decoded."""
        self.connection.is_delivering = False
        try:
            return take()
        except ResponseError:
            self._drop_foreign()
            raise Empty from None
        except (Empty, *self.connection.connection_errors, *self.connection.channel_errors):
            raise
        except Exception as error:
            if self.connection.is_delivering:
                raise
            _refuse("?", repr(error))
            return None

    def _drop_foreign(self) -> None:
        """Delete keys that have the name of a queue but another type, so that this worker hears of the others."""
        models = (queue.removeprefix(QUEUES) for queue in self.active_queues if queue.startswith(QUEUES))
        lists = [name for model in models for name in lists_of(model)]
        with self.conn_or_acquire() as client:
            drop_foreign(lists, client.llen, client.delete)


class ListOrder:
    """The names of each queue's and priority's lists in the order of their turns, as Redis's protocol writes them."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._names: dict[tuple[str, int], bytes] = {}

    def names(self, queue: str, priority: int) -> bytes:
        found = self._names.get((queue, priority))
        if found is None:
            model, lanes = queue.removeprefix(QUEUES), self._turns.order(queue, priority)
            found = b"".join(_bulk(list_of(model, priority, lane)) for lane in lanes)
            self._names[queue, priority] = found
        return found

    def taken(self, queue: str, lane: Lane, chunks: float) -> None:
        self._turns.taken(queue, lane, chunks)
        self._names.pop((queue, lane.priority), None)


def _bulk(text: str) -> bytes:
    """Write a bulk string of RESP."""
    content = text.encode()
    return b"$%d\r\n%b\r\n" % (len(content), content)


class Transport(redis.Transport):
    Channel = Channel
    bounds: Bounds

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self.order = ListOrder()

    def _deliver(self, message: Any, queue: str) -> None:
        self.is_delivering = True
        if not queue.startswith(QUEUES):
            self._deliver_control(message, queue)
        elif reason := fault(message, queue):
            _refuse(queue, reason)
        else:
            most, time_limit = self.bounds(queue.removeprefix(QUEUES))
            properties = message["properties"]
            lane = Lane(properties["priority"], properties.get("lane", 0))
            self.order.taken(queue, lane, min(1, properties.get("inputs", 1) / most))
            message["headers"]["timelimit"] = [time_limit + HARD_LIMIT_MARGIN, None]
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]

    def _deliver_control(self, message: Any, queue: str) -> None:
        """Deliver a command of Flower or `celery inspect`. Celery decodes it at once, here."""
        try:
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]
        except self.connection_errors:
            raise
        except Exception as error:
            _refuse(queue, repr(error))


def _refuse(queue: str, reason: str) -> None:
    log.error("message_refused", queue=queue, reason=reason[:_SHOWN])


def install(bounds: Bounds) -> None:
    """Make Celery in this program use this transport, whichever scheme the address of its Redis has."""
    Transport.bounds = staticmethod(bounds)
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
