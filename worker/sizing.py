"""How many worker processes the load asks for: a plain function of what was observed.

By Little's law, arrivals per second times the seconds that a process spends on one is how many processes are busy on
average. Waiting grows without bound as that nears their number (queueing theory's 1 / (1 - utilisation)), so more are
wanted than just that, and enough besides to clear the backlog soon. A process takes seconds to get ready, so the
arrivals are looked at as they will be by then, by their trend.
"""

import math
from collections import deque
from dataclasses import dataclass

UTILISATION = 0.7
"""Share of its time that a process should work; above it, waiting takes off."""


@dataclass(frozen=True)
class Observation:
    """The load at a moment. `arrived`, `done` and `busy_seconds` only ever grow; `waiting` is the backlog.

    Arrivals, what is done and what waits are inputs; `busy_seconds` is what all processes spent on what is done.
    """

    at: float
    arrived: int
    waiting: int
    done: int
    busy_seconds: float


class Sizing:
    """Decides on a size again and again; it remembers a window of observations, and what they asked for."""

    def __init__(self, least: int, most: int, *, window: float, lead: float, clear: float, quiet: float) -> None:
        """Stay between `least` and `most`.

        Seconds: `window` of arrivals that is looked at; `lead` that a new process needs to get ready; `clear`
        within which a backlog shall be gone; `quiet` for which fewer must have been enough before any is let go.
        """
        self._least, self._most = least, most
        self._window, self._lead, self._clear, self._quiet = window, lead, clear, quiet
        self._seen: deque[Observation] = deque()
        self._service: float | None = None
        self._asked: deque[tuple[float, int]] = deque()
        self._settled = False

    def size(self, now: Observation, processes: int) -> int:
        """Return how many processes there should be, when there are so many (ready or getting ready)."""
        self._seen.append(now)
        while self._seen[-1].at - self._seen[0].at > self._window and len(self._seen) > 2:
            self._seen.popleft()
        self._note_service()
        wanted = min(self._most, max(self._least, self._wanted(processes)))
        self._asked.append((now.at, wanted))
        while now.at - self._asked[0][0] > self._quiet:
            self._asked.popleft()
            self._settled = True
        highest = max(asked for _, asked in self._asked)
        return max(wanted, min(processes, highest)) if self._settled else max(wanted, processes)

    def _note_service(self) -> None:
        """Measure the seconds of a process for one input, over the window, or as far back as something was done."""
        first, last = self._seen[0], self._seen[-1]
        if last.done > first.done and last.busy_seconds > first.busy_seconds:
            self._service = (last.busy_seconds - first.busy_seconds) / (last.done - first.done)

    def _wanted(self, processes: int) -> int:
        waiting = self._seen[-1].waiting
        per_second = self._arrivals() + waiting / self._clear
        if self._service is None:  # nothing is known but whether something comes and waits
            stuck = waiting and len(self._seen) > 1 and self._seen[-2].waiting
            return processes + 1 if stuck else processes if per_second else self._least
        return math.ceil(per_second * self._service / UTILISATION - 1e-9)

    def _arrivals(self) -> float:
        """Return inputs per second as they will be when a process started now is ready; falling is not foreseen."""
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
