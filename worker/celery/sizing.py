"""How many worker processes the load needs: a plain function of observations.

By Little's law, arrivals per second times the seconds that a process spends on one is how many processes are busy on
average. Waiting grows without bound as that nears their number (queueing theory's 1 / (1 - utilisation)), so the target
is higher, and high enough to clear the backlog soon. A process takes seconds to get ready, so the target goes by the
arrivals that their trend predicts for then.
"""

import math
from collections import deque
from dataclasses import dataclass

UTILISATION = 0.7
"""Share of its time that a process should work. Above it, waiting grows fast."""


@dataclass(frozen=True)
class Observation:
    """The load at a moment. `arrived`, `waiting` and `done` count inputs; all but `waiting` only ever grow.

    `busy_seconds` is what all processes spent on the inputs that are done.
    """

    at: float
    arrived: int
    waiting: int
    done: int
    busy_seconds: float


class Sizing:
    """Decides how many processes there should be, from a window of observations and its latest decisions."""

    def __init__(self, least: int, most: int, *, window: float, lead: float, clear: float, quiet: float) -> None:
        """Stay between `least` and `most`.

        Seconds: `window` of arrivals that count; `lead` until a new process is ready; `clear` within which a backlog
        should be gone; `quiet` for which fewer processes must have been enough before one is stopped.
        """
        self._least, self._most = least, most
        self._window, self._lead, self._clear, self._quiet = window, lead, clear, quiet
        self._seen: deque[Observation] = deque()
        self._service: float | None = None
        self._targets: deque[tuple[float, int]] = deque()
        self._settled = False

    def target(self, now: Observation, processes: int) -> int:
        """Return how many processes there should be. `processes` run now, ready or getting ready."""
        self._seen.append(now)
        while self._seen[-1].at - self._seen[0].at > self._window and len(self._seen) > 2:
            self._seen.popleft()
        self._note_service()
        target = min(self._most, max(self._least, self._needed(processes)))
        self._targets.append((now.at, target))
        while now.at - self._targets[0][0] > self._quiet:
            self._targets.popleft()
            self._settled = True
        highest = max(earlier for _, earlier in self._targets)
        return max(target, min(processes, highest)) if self._settled else max(target, processes)

    def _note_service(self) -> None:
        """Measure a process's seconds for one input over the window. With none done, the earlier measure stays."""
        first, last = self._seen[0], self._seen[-1]
        if last.done > first.done and last.busy_seconds > first.busy_seconds:
            self._service = (last.busy_seconds - first.busy_seconds) / (last.done - first.done)

    def _needed(self, processes: int) -> int:
        waiting = self._seen[-1].waiting
        per_second = self._arrivals() + waiting / self._clear
        if self._service is None:  # all that is known is whether inputs arrive and wait
            stuck = waiting and len(self._seen) > 1 and self._seen[-2].waiting
            return processes + 1 if stuck else processes if per_second else self._least
        return math.ceil(per_second * self._service / UTILISATION - 1e-9)

    def _arrivals(self) -> float:
        """Predict inputs per second for when a process started now is ready. A rise goes on, a fall does not."""
        middle = self._seen[len(self._seen) // 2]
        first, last = self._seen[0], self._seen[-1]
        if last.at == first.at:
            return 0.0
        before = _rate(first, middle) if middle.at > first.at else _rate(first, last)
        recent = _rate(middle, last) if last.at > middle.at else before
        rise = max(0.0, recent - before) / ((last.at - first.at) / 2)
        return recent + rise * (self._lead + (last.at - first.at) / 4)


def _rate(begin: Observation, end: Observation) -> float:
    return max(0, end.arrived - begin.arrived) / (end.at - begin.at)
