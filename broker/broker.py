"""What a broker does: it carries messages to the processes that score, and announcements of ended tasks back.

`RedisBroker` (ENGINE=celery) reaches workers anywhere, `PoolBroker` (ENGINE=pool, in worker/pool) processes of its own.
PostgreSQL is the queue of record for both: rescue publishes again what a broker loses.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol
from uuid import UUID

from broker.message import ALL_LANES, Lane, QueuedTask


class PublishFailed(Exception):
    """The broker did not take all messages. The tasks stay PENDING, and rescue publishes them later."""


class AnnounceFailed(Exception):
    """The broker could not announce that tasks have ended. Clients that wait find out when they ask PostgreSQL."""


class Sender(Protocol):
    """Publishes messages and announcements. Each method may block for seconds."""

    def publish(self, tasks: Iterable[QueuedTask], *, alone: bool = False) -> dict[tuple[str, Lane], int]:
        """Publish tasks in chunks, or each `alone`. Raises PublishFailed.

        Return how many messages now wait in each of their lanes, by model.
        """

    def waiting(self, model: str, lanes: Sequence[Lane] = ALL_LANES) -> dict[Lane, int]:
        """Return how many messages of each lane wait; those being scored are not counted. Raises PublishFailed."""

    def following(self, model: str) -> dict[Lane, tuple[UUID, ...]]:
        """Return the tasks of the message that is taken next from each lane that has one. Raises PublishFailed."""

    def announce(self, task_ids: Iterable[UUID]) -> None:
        """Announce that tasks have ended. Raises AnnounceFailed."""


class Listener(Protocol):
    """Receives announcements."""

    def listen(self) -> AsyncIterator[list[str]]:
        """Yield the ids of tasks that have ended; first an empty list, once listening has begun."""


class Broker(Sender, Listener, Protocol):
    """What the handler needs. Rescue only sends."""
