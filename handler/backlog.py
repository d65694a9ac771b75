"""Watches how many inputs wait and how fast they are scored, and refuses submissions when too many wait.

Sampled from PostgreSQL once a second, so that every handler sees the same backlog; what this handler accepts
between two samples is added, so that a burst cannot slip in.
"""

import asyncio
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from handler.problems import Refused
from store import tasks, workers
from store.engine import single

log = structlog.get_logger(__name__)

INTERVAL = 1.0

WINDOW = 15
"""Samples by which the drain rate is measured; workers say every 5 s at the latest how much they have done."""

MAX_RETRY_AFTER = 300


@dataclass(frozen=True)
class Sample:
    """What PostgreSQL said at one moment of time.monotonic."""

    at: float
    queues: Mapping[tuple[str, int], tuple[int, int, float]]
    """By model and priority, where tasks wait: how many, their inputs, and the age of the oldest in seconds."""
    processes: Mapping[str, tuple[int, int]]
    """By model: worker processes that are ready, and those of them that work."""


class Backlog:
    def __init__(self, engine: AsyncEngine, max_inputs: int) -> None:
        self._engine = single(engine)
        self._max_inputs = max_inputs
        self.sample: Sample | None = None
        self._waiting = 0
        self._admitted = 0
        self._done: deque[tuple[float, int]] = deque(maxlen=WINDOW)

    def look(self) -> None:
        """Raise Refused when the backlog is all but full, so that what will be refused need not be read first."""
        self._refuse_without_room(max(1, self._max_inputs // 100))

    def admit(self, n_inputs: int) -> None:
        """Count a submission in, or raise Refused with an honest Retry-After when the backlog has no room for it."""
        self._refuse_without_room(n_inputs)
        self._admitted += n_inputs

    def _refuse_without_room(self, n_inputs: int) -> None:
        excess = self._waiting + self._admitted + n_inputs - self._max_inputs
        if excess > 0 and self._waiting + self._admitted > 0:  # a submission larger than the limit passes when alone
            retry_after = self._seconds_to_drain(excess)
            detail = f"{self._waiting + self._admitted} inputs wait already; try again in {retry_after} s."
            raise Refused(503, "backlog-full", detail, headers={"Retry-After": str(retry_after)})

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            admitted = self._admitted
            try:
                async with self._engine.connect() as connection:
                    queues = await tasks.waiting(connection)
                    loads = await workers.loads(connection)
                self.sample = Sample(monotonic(), queues, {model: load[:2] for model, load in loads.items()})
                self._waiting = sum(inputs for _, inputs, _ in queues.values())
                self._note_done(sum(done for _, _, done in loads.values()))
                self._admitted -= admitted  # they are in the sample now, or were not stored after all
            except Exception as error:  # PostgreSQL is away, or said what nobody expected: looking must go on
                log.warning("backlog_unknown", error=str(error))
            await asyncio.sleep(INTERVAL)

    def _note_done(self, inputs: int) -> None:
        if self._done and inputs < self._done[-1][1]:  # a worker process has left and taken its count with it
            self._done.clear()
        self._done.append((asyncio.get_running_loop().time(), inputs))

    def _seconds_to_drain(self, inputs: int) -> int:
        (start, before), (end, after) = (self._done[0], self._done[-1]) if self._done else ((0, 0), (0, 0))
        if after == before:
            return MAX_RETRY_AFTER
        return min(MAX_RETRY_AFTER, math.ceil(inputs * (end - start) / (after - before)))
