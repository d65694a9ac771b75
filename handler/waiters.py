"""Wakes the requests that wait for a task to end: one Redis subscription for all of them, no polling."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog

from broker.finished import listen

log = structlog.get_logger(__name__)

RECONNECT = 1
"""Seconds between two attempts to listen."""


class Waiters:
    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._events: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def interest(self, task_id: UUID) -> Iterator[asyncio.Event]:
        """Give an event that is set when the task may have ended. Read the task after this, not before."""
        event = asyncio.Event()
        self._events[task_id].add(event)
        try:
            yield event
        finally:
            self._events[task_id].discard(event)
            if not self._events[task_id]:
                del self._events[task_id]

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                async for ended in listen(self._redis_url):
                    # Once listening has begun (anew), everyone looks again: what ended before was not heard.
                    for task_id in ended or list(self._events):
                        for event in self._events.get(task_id, ()):
                            event.set()
            except Exception as error:  # Redis is away, or somebody else spoke: listening must go on
                log.warning("not_listening", error=str(error))
            await asyncio.sleep(RECONNECT)
