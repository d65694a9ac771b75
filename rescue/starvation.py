"""Tells which queues starve: nobody takes from them, for busier ones are always taken from first.

A lane of a queue is first in, first out, so one from which nobody takes has the same next message all the time. A long
backlog that is worked on does not starve, however old its tasks are. Workers take from the lanes in turns; those of a
release that does not know a lane take only from the others, so that it starves alone.
"""

from collections.abc import Hashable, Mapping
from time import monotonic
from uuid import UUID

from broker.message import LANES, Lane
from rescue.queues import Queue


class Starvation:
    def __init__(self, patience: float) -> None:
        """Call it starving when nobody takes from a queue for so many seconds, or from a lane for LANES times that."""
        self._patience = patience
        self._next: dict[tuple[str, Lane], tuple[Hashable, float]] = {}
        self._taken_at: dict[Queue, float] = {}
        self._promoted: dict[Queue, tuple[list[UUID], float]] = {}

    def starving(self, following: Mapping[tuple[str, Lane], Hashable]) -> set[Queue]:
        """Return the queues of lower priorities that starve, by the next message of each lane that has one."""
        now = monotonic()
        for (model, lane), (message, _) in self._next.items():
            if following.get((model, lane)) != message:
                self._taken_at[model, lane.priority] = now
        self._next = {
            lane: known if (known := self._next.get(lane)) and known[0] == message else (message, now)
            for lane, message in following.items()
        }
        starving = set()
        for (model, lane), (_, since) in self._next.items():
            queue = (model, lane.priority)
            untouched = now - max(since, self._taken_at.get(queue, since))
            if lane.priority > 0 and (untouched >= self._patience or now - since >= LANES * self._patience):
                starving.add(queue)
        return starving

    def promoted(self, queue: Queue) -> list[UUID]:
        """Return the tasks of the queue that were helped along last, if that was not too long ago."""
        task_ids, at = self._promoted.get(queue, ([], 0.0))
        return task_ids if monotonic() - at < self._patience else []

    def note(self, queue: Queue, task_ids: list[UUID]) -> None:
        """Note that these were helped along now."""
        self._promoted[queue] = task_ids, monotonic()
