"""Workers tell, and handlers hear, that tasks have ended: Redis pub/sub, best effort.

Nothing depends on it but how soon a waiting client gets its answer; PostgreSQL is the truth.
"""

from collections.abc import AsyncIterator, Iterable
from uuid import UUID

import msgspec
import redis
import redis.asyncio

from broker.timeouts import CONNECT_TIMEOUT, SOCKET_TIMEOUT

CHANNEL = "millrace.finished"


class Announcer:
    """Tells that tasks have ended."""

    def __init__(self, redis_url: str) -> None:
        self._redis = redis.Redis.from_url(
            redis_url, socket_timeout=SOCKET_TIMEOUT, socket_connect_timeout=CONNECT_TIMEOUT
        )

    def announce(self, task_ids: Iterable[UUID]) -> None:
        """Raises redis.RedisError when nobody could be told."""
        self._redis.publish(CHANNEL, msgspec.json.encode(list(task_ids)))


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
