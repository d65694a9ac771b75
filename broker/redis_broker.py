"""Redis as the broker: messages in its lists, which Celery's workers take, and announcements by its pub/sub.

Clients wait less because of announcements, and nothing else depends on them: PostgreSQL is the truth.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import msgspec
import redis
import redis.asyncio
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from broker.address import explain
from broker.broker import AnnounceFailed, PublishFailed
from broker.lanes import Turns
from broker.message import (
    ALL_LANES,
    QUEUES,
    Bounds,
    Lane,
    QueuedTask,
    ids_in,
    list_of,
    lists_of,
    messages,
    queue_of,
    write,
)
from broker.timeouts import CONNECT_TIMEOUT, SOCKET_TIMEOUT

log = structlog.get_logger(__name__)

CHANNEL = "millrace.finished"


class RedisBroker:
    """Every method but `listen` blocks for as long as Redis takes, bounded by the timeouts of the socket."""

    def __init__(self, redis_url: str, bounds: Bounds) -> None:
        self._redis_url = redis_url
        self._redis = redis.Redis.from_url(
            redis_url,
            socket_timeout=SOCKET_TIMEOUT,
            socket_connect_timeout=CONNECT_TIMEOUT,
            # A connection that Redis has closed meanwhile is opened again. A command that hangs fails: rescue retries.
            retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
        )
        self._bounds = bounds

    def publish(self, tasks: Iterable[QueuedTask], *, alone: bool = False) -> dict[tuple[str, Lane], int]:
        lanes = []
        with _publishing(), self._redis.pipeline(transaction=False) as pipeline:
            for model, lane, chunk in messages(tasks, self._bounds, alone=alone):
                _, seconds = self._bounds(model)
                lanes.append((model, lane))
                pipeline.lpush(list_of(model, *lane), write(queue_of(model), lane, chunk, seconds))
            return dict(zip(lanes, pipeline.execute(), strict=True))

    def waiting(self, model: str, lanes: Sequence[Lane] = ALL_LANES) -> dict[Lane, int]:
        lists = [list_of(model, *lane) for lane in lanes]
        with _publishing():
            try:
                return dict(zip(lanes, self._lengths(lists), strict=True))
            except redis.ResponseError:
                drop_foreign(lists, self._redis.llen, self._redis.delete)
                return dict(zip(lanes, self._lengths(lists), strict=True))

    def _lengths(self, lists: Iterable[str]) -> list[int]:
        with self._redis.pipeline(transaction=False) as pipeline:
            for name in lists:
                pipeline.llen(name)
            return pipeline.execute()

    def following(self, model: str) -> dict[Lane, tuple[UUID, ...]]:
        with _publishing(), self._redis.pipeline(transaction=False) as pipeline:
            for name in lists_of(model):
                pipeline.lindex(name, -1)
            found = zip(ALL_LANES, pipeline.execute(), strict=True)
            return {lane: ids_in(message) for lane, message in found if message is not None}

    def announce(self, task_ids: Iterable[UUID]) -> None:
        try:
            self._redis.publish(CHANNEL, msgspec.json.encode(list(task_ids)))
        except redis.RedisError as error:
            raise AnnounceFailed(explain(error)) from error

    def listen(self) -> AsyncIterator[list[str]]:
        return listen(self._redis_url)


async def listen(redis_url: str) -> AsyncIterator[list[str]]:
    """Yield the ids of tasks that have ended; first an empty list, once listening has begun.

    Raises redis.RedisError when the connection is lost.
    """
    client = redis.asyncio.Redis.from_url(redis_url, socket_connect_timeout=CONNECT_TIMEOUT, health_check_interval=10)
    async with client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(CHANNEL)
        yield []
        while True:
            # The timeout lets the health check notice a connection that died without a word.
            message = await pubsub.get_message(timeout=SOCKET_TIMEOUT)
            if message is not None:
                yield msgspec.json.decode(message["data"], type=list[str])


def drop_foreign(names: Iterable[str], read: Callable[[str], object], delete: Callable[[str], object]) -> None:
    """Delete those of our keys that somebody else has given another type than `read` reads.

    Their contents are lost, as anything in Redis may be. While they exist, nothing can be put there or taken.
    """
    for name in names:
        try:
            read(name)
        except redis.ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            log.error("foreign_key_deleted", key=name)
            delete(name)


@contextmanager
def _publishing() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise PublishFailed(explain(error)) from error


class ListOrder:
    """The names of each queue's and priority's lists in the order of their turns, as Redis's protocol writes them."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._names: dict[tuple[str, int], bytes] = {}

    def names(self, queue: str, priority: int) -> bytes:
        found = self._names.get((queue, priority))
        if found is None:
            model, lanes = queue.removeprefix(QUEUES), self._turns.order(queue, priority)
            found = b"".join(bulk(list_of(model, priority, lane)) for lane in lanes)
            self._names[queue, priority] = found
        return found

    def taken(self, queue: str, lane: Lane, chunks: float) -> None:
        self._turns.taken(queue, lane, chunks)
        self._names.pop((queue, lane.priority), None)


def bulk(text: str) -> bytes:
    """Write a bulk string of RESP."""
    content = text.encode()
    return b"$%d\r\n%b\r\n" % (len(content), content)
