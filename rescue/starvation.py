"""Tells which queues starve: nobody takes from them, for busier ones are always taken from first.

A lane of a queue is first in, first out, so one from which nobody takes has the same next message all the time. A long
backlog that is worked on does not starve, however old its tasks are.
"""

from collections.abc import Hashable, Mapping
from time import monotonic
from uuid import UUID

from broker.message import Lane
from rescue.queues import Queue


class Starvation:
    def __init__(self, patience: float) -> None:
        """A queue starves when nobody has taken from one of its lanes for so many seconds."""
        self._patience = patience
        self._next: dict[tuple[str, Lane], tuple[Hashable, float]] = {}
        self._promoted: dict[Queue, tuple[list[UUID], float]] = {}

    def starving(self, following: Mapping[tuple[str, Lane], Hashable]) -> set[Queue]:
        """Return the queues of lower priorities that starve, by the next message of each lane that has one."""
        now = monotonic()
        self._next = {
            lane: known if (known := self._next.get(lane)) and known[0] == message else (message, now)
            for lane, message in following.items()
        }
        return {
            (model, lane.priority)
            for (model, lane), (_, since) in self._next.items()
            if lane.priority > 0 and now - since >= self._patience
        }

    def promoted(self, queue: Queue) -> list[UUID]:
        """Return the tasks of the queue that were helped along last, if that was not too long ago."""
        task_ids, at = self._promoted.get(queue, ([], 0.0))
        return task_ids if monotonic() - at < self._patience else []

    def note(self, queue: Queue, task_ids: list[UUID]) -> None:
        """Note that these were helped along now."""
        self._promoted[queue] = task_ids, monotonic()
