"""kombu's Redis transport and event loop, made to take turns, and to survive what others write and lost connections.

kombu ends the worker at the first message that is not JSON (https://github.com/celery/kombu/issues/2421,
https://github.com/celery/celery/issues/7975), and Celery trusts each header. Neither offers a hook before that, so the
subclasses here override private methods. A dropped message loses no task: rescue publishes the tasks that have no
message.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from inspect import GEN_SUSPENDED, getgeneratorstate, isgenerator
from queue import Empty
from time import monotonic
from typing import Any

import structlog
from celery import bootsteps
from kombu import asynchronous
from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.compat import fileno
from redis import Redis
from redis.exceptions import ResponseError

from broker.message import LANES, PRIORITIES, QUEUES, Bounds, Lane, fault, lists_of
from broker.redis_broker import ListOrder, bulk, drop_foreign
from worker.celery.polled_connection import PolledConnection, PolledSSLConnection

log = structlog.get_logger(__name__)

HARD_LIMIT_MARGIN = 300
"""Seconds beside the model's time limit until Celery ends a process that holds a message: claiming and finishing wait
for PostgreSQL up to a minute each. The process itself keeps the time limit (chunk.py), whatever the message says."""

_READ_TIMEOUT = 5.0
"""Seconds for the rest of a command of which Redis has sent a part."""

EVENTS_INTERVAL = 0.1
"""Seconds for which the events of tasks, of which Flower lives, are collected."""

_SHOWN = 500  # characters of an error, which may quote the message


class EventLoop(asynchronous.Hub):
    """Goes on reading what it had begun to read before a reset, as soon as the same pipe is added again.

    The loop reads the results of the worker's processes in pieces. (A result with an exception has over 30 kB, and its
    length and its body are written apart.) When Celery loses the connection to Redis, it resets the loop. kombu's own
    loop forgets the piece that it has read and takes the rest for the length of the next result. Then Celery gives the
    pipe up, and the worker takes no message any more (https://github.com/celery/celery/issues/10302).
    """

    def __init__(self, timer: Any) -> None:
        super().__init__(timer)  # type: ignore[no-untyped-call]
        self._begun: dict[int, Any] = {}

    def reset(self) -> None:
        for fd, (reader, _) in self.readers.items():
            if isgenerator(reader) and getgeneratorstate(reader) == GEN_SUSPENDED:
                self._begun[fd] = reader
        super().reset()  # type: ignore[no-untyped-call]

    def add_reader(self, fds: Any, callback: Callable[..., Any], *args: Any) -> None:
        begun = self._begun.pop(fileno(fds), None)  # type: ignore[no-untyped-call]
        if begun is None:
            super().add_reader(fds, callback, *args)  # type: ignore[no-untyped-call]
        else:
            super().add_reader(fds, begun)  # type: ignore[no-untyped-call]

    def remove_reader(self, fd: Any) -> None:
        self._begun.pop(fileno(fd), None)  # type: ignore[no-untyped-call]
        super().remove_reader(fd)  # type: ignore[no-untyped-call]

    def remove(self, fd: Any) -> None:
        self._begun.pop(fileno(fd), None)  # type: ignore[no-untyped-call]
        super().remove(fd)  # type: ignore[no-untyped-call]


class EventLoopStep(bootsteps.Step):  # type: ignore[misc]
    """Puts this event loop in the place of the one that Celery has made for a worker, before anything uses it."""

    requires = ("celery.worker.components:Hub",)

    def create(self, worker: Any) -> None:
        worker.hub.close()
        worker.hub = asynchronous.set_event_loop(EventLoop(worker.timer))


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

        kombu knows no lanes, and would have redis-py encode all the names anew for each message.
        """
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()  # type: ignore[assignment]
        names = [self.connection.order.names(queue, priority) for priority in PRIORITIES for queue in queues]
        wait = bulk(str((self.brpop_timeout if timeout is None else timeout) or 0))
        command = b"*%d\r\n%b%b%b" % (2 + len(names) * LANES, bulk("BRPOP"), b"".join(names), wait)
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
