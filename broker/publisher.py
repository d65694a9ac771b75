"""Puts messages into Redis."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from broker.envelope import write
from broker.message import PRIORITIES, Bounds, Task, list_of, messages, queue_of
from broker.timeouts import CONNECT_TIMEOUT, SOCKET_TIMEOUT


class PublishFailed(Exception):
    """Redis did not take all messages. The tasks stay PENDING, and rescue publishes them later."""


class Publisher:
    """Everything blocks for as long as Redis takes, bounded by the timeouts of the socket, and raises PublishFailed."""

    def __init__(self, redis_url: str, bounds: Bounds) -> None:
        self._redis = redis.Redis.from_url(
            redis_url,
            socket_timeout=SOCKET_TIMEOUT,
            socket_connect_timeout=CONNECT_TIMEOUT,
            # A connection that Redis has closed meanwhile is opened again; what hangs fails, for rescue is the retry.
            retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
        )
        self._bounds = bounds

    def publish(self, tasks: Iterable[Task], *, alone: bool = False) -> None:
        """Publish tasks in chunks, or each `alone`."""
        with _failing(), self._redis.pipeline(transaction=False) as pipeline:
            for model, priority, chunk in messages(tasks, self._bounds, alone=alone):
                _, seconds = self._bounds(model)
                pipeline.lpush(list_of(model, priority), write(queue_of(model), priority, chunk, seconds))
            pipeline.execute()

    def waiting(self, model: str) -> dict[int, int]:
        """Return how many messages of each priority wait in the model's queue; those being scored are not counted."""
        with _failing(), self._redis.pipeline(transaction=False) as pipeline:
            for priority in PRIORITIES:
                pipeline.llen(list_of(model, priority))
            return dict(zip(PRIORITIES, pipeline.execute(), strict=True))


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise PublishFailed(str(error)) from error
