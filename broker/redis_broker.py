"""Messages in Redis, taken by Celery's workers; endings by its pub/sub."""

from collections.abc import AsyncIterator, Iterable
from uuid import UUID

import redis

from broker.broker import AnnounceFailed
from broker.finished import Announcer, listen
from broker.message import Bounds
from broker.publisher import Publisher


class RedisBroker(Publisher):
    def __init__(self, redis_url: str, bounds: Bounds) -> None:
        super().__init__(redis_url, bounds)
        self._redis_url = redis_url
        self._announcer = Announcer(redis_url)

    def announce(self, task_ids: Iterable[UUID]) -> None:
        try:
            self._announcer.announce(task_ids)
        except redis.RedisError as error:
            raise AnnounceFailed(str(error)) from error

    def listen(self) -> AsyncIterator[list[str]]:
        return listen(self._redis_url)
