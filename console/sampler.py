"""Looks at the platform for all open pages of this process together: one look a tick, however many there are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from time import monotonic
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError

from console.shared import STALE, SharedLook
from handler.services import Services
from handler.submit.backlog import BacklogMoment
from store import outage
from store.overview import Overview, fetch_overview

BIN = 5.0
"""Seconds whose throughput is one point of the plot."""

_WINDOW = 10.0
"""Seconds of which the current throughput is told."""


@dataclass(frozen=True)
class PlatformLook:
    """What was seen at one moment of time.monotonic."""

    at: float
    overview: Overview
    history: Sequence[BacklogMoment]
    rates: dict[str, tuple[float, float]]
    """By model: tasks and inputs a second since the look before."""

    @property
    def inputs_per_second(self) -> float:
        recent = [one for one in self.history if one.at >= self.history[-1].at - _WINDOW] if self.history else []
        return rate(recent)


def rate(moments: Sequence[BacklogMoment]) -> float:
    """Return the inputs scored a second; a worker that has ended took its count along, which is no negative work."""
    if len(moments) < 2:
        return 0.0
    done = sum(max(0, after.done - before.done) for before, after in pairwise(moments))
    return done / (moments[-1].at - moments[0].at)


class Sampler:
    def __init__(self) -> None:
        self._shared: SharedLook[PlatformLook] = SharedLook()
        self._before: tuple[datetime, dict[str, tuple[int, int]]] | None = None

    async def look(self, services: Services) -> PlatformLook:
        """Return a look that is at most a tick old, or the latest while PostgreSQL is away. Raises SQLAlchemyError."""
        try:
            return await self._shared.get(partial(self._look, services))
        except SQLAlchemyError as error:
            if self._shared.latest is None or outage.reason(error) is None:
                raise
            return self._shared.latest

    async def _look(self, services: Services) -> PlatformLook:
        sample = services.backlog.sample
        fetch = partial(fetch_overview, queues=sample.queues if sample else None)
        async with services.vital.connect() as connection:
            overview = await connection.run_sync(fetch)
        return PlatformLook(monotonic(), overview, list(services.backlog.history), self._rates(overview))

    def _rates(self, overview: Overview) -> dict[str, tuple[float, float]]:
        done = _done(overview.workers)
        before, self._before = self._before, (overview.now, done)
        if before is None or not 0 < (seconds := (overview.now - before[0]).total_seconds()) < STALE:
            return {}
        return {
            model: (
                max(0, tasks - before[1].get(model, (tasks, 0))[0]) / seconds,
                max(0, inputs - before[1].get(model, (0, inputs))[1]) / seconds,
            )
            for model, (tasks, inputs) in done.items()
        }


def _done(rows: Sequence[Row[Any]]) -> dict[str, tuple[int, int]]:
    tasks: Counter[str] = Counter()
    inputs: Counter[str] = Counter()
    for row in rows:
        tasks[row.model] += row.tasks_done
        inputs[row.model] += row.inputs_done
    return {model: (tasks[model], inputs[model]) for model in tasks}
