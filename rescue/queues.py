"""What rescue sees of the queues when it looks at them, what it remembers of them, and what it puts there."""

from datetime import timedelta
from time import monotonic
from uuid import UUID

import structlog

from broker.broker import PublishFailed, Sender
from broker.lanes import ClientLanes, Sharer
from broker.message import PRIORITIES, Lane, QueuedTask
from registry.versions import Registry
from store.claims import WaitingTask

log = structlog.get_logger(__name__)

Queue = tuple[str, int]
"""A model, and a priority."""


class Queues:
    def __init__(self, sender: Sender, registry: Registry) -> None:
        self._sender = sender
        self._registry = registry
        self._lanes = ClientLanes(registry.bounds)
        self._emptied: dict[Queue, float] = {}
        self.names: list[Queue] = []
        """Those that could be looked at: none with Redis away, for there is nowhere to publish to."""
        self.following: dict[tuple[str, Lane], tuple[UUID, ...]] = {}
        """The tasks of the message that is taken next from each lane of a model that has one."""

    def look(self) -> None:
        self._lanes = ClientLanes(self._registry.bounds)  # a chunk of each client may go first in each round
        self.names, self.following = [], {}
        for model in self._registry.live:
            before = monotonic()
            try:
                waiting, following = self._sender.waiting(model), self._sender.following(model)
            except PublishFailed as error:
                log.warning("redis_unreachable", error=str(error))
                self.names, self.following = [], {}
                return
            filled = {lane.priority for lane, messages in waiting.items() if messages}
            self.names += [(model, priority) for priority in PRIORITIES]
            self.following |= {(model, lane): task_ids for lane, task_ids in following.items()}
            self._emptied |= {(model, priority): before for priority in PRIORITIES if priority not in filled}

    def next_tasks(self, queue: Queue) -> list[UUID]:
        """Return the tasks of the messages that are taken next from the queue's lanes."""
        heads = [ids for (model, lane), ids in self.following.items() if (model, lane.priority) == queue]
        return [task_id for ids in heads for task_id in ids]

    def emptied(self, queue: Queue) -> timedelta | None:
        """Return how long ago the queue was last seen empty; None: never.

        Messages that were published before then are gone, whatever lies in it by now.
        """
        at = self._emptied.get(queue)
        return None if at is None else timedelta(seconds=monotonic() - at)

    def publish(self, tasks: list[WaitingTask], *, alone: bool, in_front: bool = False) -> None:
        """Publish tasks of served models, those of a starving queue in front, where every worker looks.

        While Redis is away they are PENDING, and a later round publishes them.
        """
        place = _in_front if in_front else self._in_turn
        known = [place(task) for task in tasks if self._registry.is_served(task.model)]
        try:
            self._sender.publish(known, alone=alone)
        except PublishFailed as error:
            log.warning("publish_failed", error=str(error))

    def _in_turn(self, task: WaitingTask) -> QueuedTask:
        sharer = Sharer(task.model, task.priority, task.client)
        return self._lanes.choose(task.task_id, sharer, task.n_inputs)


def _in_front(task: WaitingTask) -> QueuedTask:
    return QueuedTask(task.task_id, task.model, task.n_inputs, task.priority)
