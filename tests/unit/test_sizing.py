"""The autoscaler's decision, on recorded schedules and simulated processes, beside pools of a fixed size."""

import heapq
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from worker.celery.sizing import Observation, Sizing

SERVICE = 0.1
"""Seconds of a process for one input."""

LEAD = 2.0
"""Seconds until a new process has its model."""

LEAST, MOST = 1, 24
SECONDS = 300


def sine(time: float) -> float:
    return 72 - 68 * math.cos(2 * math.pi * time / 150)


def burst(time: float) -> float:
    return 4 + 136 * math.exp(-(((time - 150) / 20) ** 2))


def arrivals(rate: Callable[[float], float], seed: int = 1) -> Iterator[float]:
    """A Poisson process of a changing rate, by thinning."""
    pick, time, peak = random.Random(seed), 0.0, 140.0  # noqa: S311 - to be repeated
    while time < SECONDS:
        time += pick.expovariate(peak)
        if pick.random() < rate(time) / peak:
            yield time


@dataclass
class Pool:
    """Processes that serve inputs first come, first served; a new one is ready after LEAD."""

    free_at: list[float]
    waits: list[float] = field(default_factory=list)
    process_seconds: float = 0.0

    def serve(self, time: float) -> None:
        start = max(time, heapq.heappop(self.free_at))
        self.waits.append(start - time)
        heapq.heappush(self.free_at, start + SERVICE)

    def resize(self, size: int, time: float) -> None:
        while len(self.free_at) < size:
            heapq.heappush(self.free_at, time + LEAD)
        while len(self.free_at) > size:
            self.free_at.remove(min(self.free_at))
            heapq.heapify(self.free_at)

    @property
    def p95(self) -> float:
        return sorted(self.waits)[int(len(self.waits) * 0.95)]


def simulate(rate: Callable[[float], float], size: int | Sizing) -> Pool:
    """Serve the schedule with a fixed number of processes, or with as many as the autoscaler asks for each second."""
    pool = Pool([0.0] * (size if isinstance(size, int) else LEAST))
    starts: list[float] = []
    coming = list(arrivals(rate))
    done = 0
    for second in range(SECONDS):
        arrived = [time for time in coming if second <= time < second + 1]
        for time in arrived:
            pool.serve(time)
            starts.append(time + pool.waits[-1])
        now = second + 1.0
        done = sum(start + SERVICE <= now for start in starts)
        if isinstance(size, Sizing):
            waiting = sum(start > now for start in starts)
            seen = Observation(now, len(starts), waiting, done, done * SERVICE)
            pool.resize(size.target(seen, len(pool.free_at)), now)
        pool.process_seconds += len(pool.free_at)
    return pool


def sizing() -> Sizing:
    return Sizing(LEAST, MOST, window=10, lead=LEAD, clear=5, quiet=10)


@pytest.mark.parametrize("schedule", [sine, burst])
def test_it_waits_like_a_large_pool_and_costs_like_a_small_one(schedule: Callable[[float], float]) -> None:
    scaled = simulate(schedule, sizing())
    mean = max(1, round(scaled.process_seconds / SECONDS))
    small, large = simulate(schedule, mean), simulate(schedule, MOST)
    shown = (
        f"p95 wait {scaled.p95:.2f} s with {mean} processes on average; fixed: {small.p95:.2f}, {MOST}: {large.p95:.2f}"
    )
    assert scaled.p95 < small.p95 / 3, shown
    assert scaled.p95 < 1, shown
    assert scaled.process_seconds < 0.75 * large.process_seconds, shown


def test_it_grows_before_the_backlog_does() -> None:
    decide = sizing()
    sizes = [
        decide.target(Observation(float(t), 2 * t * t, 0, 2 * t * t, 2 * t * t * SERVICE), 1) for t in range(20)
    ]  # arrivals rise steadily, and nothing waits yet
    assert sizes == sorted(sizes)
    assert sizes[-1] * (1 / SERVICE) > 4 * 20, "enough for the arrivals of three seconds later"


def test_it_shrinks_only_after_a_quiet_time_and_to_what_was_asked_for_within_it() -> None:
    decide, size, sizes = sizing(), 8, []
    for second in range(60):
        busy = second == 30  # a moment of work in the midst of silence
        done = 100 + 200 * (second >= 30)
        seen = Observation(float(second), 300 if second >= 30 else 100, 100 * busy, done, done * SERVICE)
        size = decide.target(seen, size)
        sizes.append(size)
    assert sizes[:11] == [8] * 11
    assert sizes[29] == LEAST
    assert max(sizes[30:40]) > LEAST
    assert sizes[-1] == LEAST


def test_a_backlog_before_anything_was_scored_brings_one_more_at_a_time() -> None:
    decide = sizing()
    assert decide.target(Observation(0, 5, 5, 0, 0.0), 1) == 1
    assert decide.target(Observation(1, 9, 9, 0, 0.0), 1) == 2


def test_it_keeps_to_its_bounds() -> None:
    decide = sizing()
    sizes = [decide.target(Observation(float(t), 10_000 * t, 5_000, 10 * t, 100.0 * t), 4) for t in range(1, 20)]
    assert max(sizes) == MOST
    assert Sizing(2, 3, window=10, lead=1, clear=5, quiet=0).target(Observation(0, 0, 0, 0, 0.0), 2) == 2
