"""Wakes the requests that wait for a task to end: one subscription for all of them, no polling."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog

from broker.broker import AnnounceFailed, Broker

log = structlog.get_logger(__name__)

RECONNECT = 1
"""Seconds between two attempts to listen."""


class Waiters:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._events: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._telling: set[asyncio.Task[None]] = set()
        self.closed = False

    @contextmanager
    def interest(self, task_id: UUID) -> Iterator[asyncio.Event]:
        """Give an event that is set when the task may have ended. Read the task after this, not before."""
        event, name = asyncio.Event(), str(task_id)
        self._events[name].add(event)
        try:
            yield event
        finally:
            self._events[name].discard(event)
            if not self._events[name]:
                del self._events[name]

    def tell(self, task_id: UUID) -> None:
        """Say here, and to the other handlers, that a task has ended by this handler's doing."""
        self._wake([str(task_id)])
        telling = asyncio.create_task(asyncio.to_thread(self._announce, task_id))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    def close(self) -> None:
        """Let every waiting request answer now, with the task as it stands: this handler is about to stop."""
        self.closed = True
        self._wake(list(self._events))

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                async for ended in self._broker.listen():
                    # Once listening has begun (anew), everyone looks again: what ended before was not heard.
                    self._wake(ended or list(self._events))
            except Exception as error:  # Redis is away, or somebody else spoke: listening must go on
                log.warning("not_listening", error=str(error))
            await asyncio.sleep(RECONNECT)

    def _wake(self, task_ids: list[str]) -> None:
        for task_id in task_ids if self._events else ():
            for event in self._events.get(task_id, ()):
                event.set()

    def _announce(self, task_id: UUID) -> None:
        try:
            self._broker.announce([task_id])
        except AnnounceFailed as error:
            log.warning("announce_failed", error=str(error))
