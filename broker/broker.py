"""What carries chunks to whoever scores them and back the news of what has ended: one of two engines.

`RedisBroker` (ENGINE=celery) reaches workers anywhere; `PoolBroker` (ENGINE=pool, in worker/) processes of its own.
PostgreSQL is the queue of record for both: what a broker loses, rescue publishes again.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Protocol
from uuid import UUID

from broker.message import Task


class AnnounceFailed(Exception):
    """Nobody could be told that tasks have ended; they will be found when somebody looks."""


class Sender(Protocol):
    """Takes chunks to whoever scores them, and news to whoever waits. It may block for seconds."""

    def publish(self, tasks: Iterable[Task], *, alone: bool = False) -> None:
        """Publish tasks in chunks, or each `alone`. Raises PublishFailed."""

    def waiting(self, model: str) -> dict[int, int]:
        """Return how many messages of each priority wait; those being scored are not counted. Raises PublishFailed."""

    def announce(self, task_ids: Iterable[UUID]) -> None:
        """Tell that tasks have ended. Raises AnnounceFailed."""


class Listener(Protocol):
    """Hears the news."""

    def listen(self) -> AsyncIterator[list[str]]:
        """Yield the ids of tasks that have ended; first an empty list, once listening has begun."""


class Broker(Sender, Listener, Protocol):
    """What the handler needs: rescue only sends."""
