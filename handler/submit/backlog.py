"""Watches how many inputs wait and how fast workers score them, and refuses submissions when too many wait.

Each handler samples PostgreSQL once a second, so all of them see the same backlog. It adds what it accepts itself until
a sample contains it, and subtracts at once what was not stored: its count is never behind its own submissions.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from handler.problems import ProblemKind, RequestRefused
from store import tasks, workers
from store.engine import single
from store.tasks import QueueDepths, TransactionSnapshot

log = structlog.get_logger(__name__)

INTERVAL = 1.0

WINDOW = 15
"""Samples over which the drain rate is measured. Workers report how much they have done every 5 s at the latest."""

MAX_RETRY_AFTER = 300


HISTORY = 600
"""Moments that are kept, for a plot of the last ten minutes."""


class BacklogMoment(NamedTuple):
    """How many inputs waited, and how many had been scored until then, at a moment of time.monotonic."""

    at: float
    waiting: int
    done: int


@dataclass(frozen=True)
class BacklogSample:
    """What PostgreSQL answered at one moment of time.monotonic."""

    at: float
    queues: QueueDepths
    snapshot: TransactionSnapshot
    processes: Mapping[str, workers.ModelWorkers]
    """By model."""


class Backlog:
    def __init__(self, engine: AsyncEngine, max_inputs: int, seen: Callable[[QueueDepths], None]) -> None:
        """Also tell `seen` what waits."""
        self._seen = seen
        self._engine = single(engine)
        self._max_inputs = max_inputs
        self.sample: BacklogSample | None = None
        self._sampled = 0
        self._arriving = 0
        """Inputs that were admitted, and are neither stored nor refused yet."""
        self._since: list[tuple[int, int]] = []
        """Transactions that have stored inputs which the sample does not contain, and how many."""
        self._stored_since = 0
        self._done: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        self.history: deque[BacklogMoment] = deque(maxlen=HISTORY)

    def check(self) -> None:
        """Raise RequestRefused when the backlog is nearly full, before reading a body that would be refused."""
        self._check_room(max(1, self._max_inputs // 100))

    def admit(self, n_inputs: int, share: float = 1) -> None:
        """Count a submission in, which may fill this share of the backlog.

        Raises RequestRefused, with a measured Retry-After, if that is full.
        """
        self._check_room(n_inputs, share)
        self._arriving += n_inputs

    def withdraw(self, n_inputs: int) -> None:
        """Subtract what was admitted and not stored."""
        self._arriving -= n_inputs

    def stored(self, n_inputs: int, transaction: int) -> None:
        """Note the transaction that stored what was admitted. The sample may contain it already."""
        self._arriving -= n_inputs
        if self.sample is None or not self.sample.snapshot.sees(transaction):
            self._since.append((transaction, n_inputs))
            self._stored_since += n_inputs

    def _check_room(self, n_inputs: int, share: float = 1) -> None:
        waiting = self._sampled + self._stored_since + self._arriving
        limit = int(self._max_inputs * share)
        excess = waiting + n_inputs - limit
        if excess > 0 and waiting > 0:  # a submission larger than the limit is accepted if no other waits
            retry_after = self._seconds_to_drain(excess)
            detail = f"{waiting} inputs are waiting (limit {limit}); try again in {retry_after} s."
            raise RequestRefused(ProblemKind.BACKLOG_FULL, detail, headers={"Retry-After": str(retry_after)})

    async def run(self) -> None:
        """BacklogSample until cancelled."""
        while True:
            before = len(self._since)
            try:
                async with self._engine.connect() as connection:
                    queues, snapshot = await tasks.queue_depths(connection)
                    processes = await workers.by_model(connection)
                self.sample = BacklogSample(monotonic(), queues, snapshot, processes)
                self._seen(queues)
                self._sampled = sum(depth.inputs for depth in queues.values())
                # The sample contains what was stored before it began.
                self._since = [one for one in self._since[before:] if not snapshot.sees(one[0])]
                self._stored_since = sum(inputs for _, inputs in self._since)
                done = sum(of_model.inputs_done for of_model in processes.values())
                self._note_done(done)
                self.history.append(BacklogMoment(self.sample.at, self._sampled, done))
            except Exception as error:  # whatever it was: sampling must go on
                log.warning("backlog_unknown", error=str(error))
            await asyncio.sleep(INTERVAL)

    def _note_done(self, inputs: int) -> None:
        if self._done and inputs < self._done[-1][1]:  # a worker process has ended, and its count with it
            self._done.clear()
        self._done.append((asyncio.get_running_loop().time(), inputs))

    def _seconds_to_drain(self, inputs: int) -> int:
        (start, before), (end, after) = (self._done[0], self._done[-1]) if self._done else ((0, 0), (0, 0))
        if after == before:
            return MAX_RETRY_AFTER
        return min(MAX_RETRY_AFTER, math.ceil(inputs * (end - start) / (after - before)))
