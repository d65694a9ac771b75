"""What rescue sees of the queues when it looks at them, and what it remembers of them."""

from collections.abc import Hashable
from datetime import timedelta
from time import monotonic

import structlog

from broker.broker import PublishFailed, Sender
from registry.versions import Registry

log = structlog.get_logger(__name__)

Queue = tuple[str, int]
"""A model, and a priority."""


class Queues:
    def __init__(self, sender: Sender, registry: Registry) -> None:
        self._sender = sender
        self._registry = registry
        self._emptied: dict[Queue, float] = {}
        self.names: list[Queue] = []
        """Those that could be looked at: none with Redis away, for there is nowhere to publish to."""
        self.following: dict[Queue, Hashable] = {}
        """The message that is taken next from each queue that has one."""

    def look(self) -> None:
        self.names, self.following = [], {}
        for model in self._registry.live:
            before = monotonic()
            try:
                waiting, following = self._sender.waiting(model), self._sender.following(model)
            except PublishFailed as error:
                log.warning("redis_unreachable", error=str(error))
                self.names, self.following = [], {}
                return
            self.names += [(model, priority) for priority in waiting]
            self.following |= {(model, priority): message for priority, message in following.items()}
            self._emptied |= {(model, priority): before for priority, messages in waiting.items() if not messages}

    def emptied(self, queue: Queue) -> timedelta | None:
        """Return how long ago the queue was last seen empty; None: never.

        Messages that were published before then are gone, whatever lies in it by now.
        """
        at = self._emptied.get(queue)
        return None if at is None else timedelta(seconds=monotonic() - at)
