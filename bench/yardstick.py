"""Measures designs in turn, several times, in one run: what counts is the ratio, for absolute times are a machine's."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median

import numpy as np

from bench import executor, shapes
from bench.executor import Run
from bench.site import Site

StartSite = Callable[[str], AbstractContextManager[Site]]
"""Starts a design on a fresh database of this name."""

DRAIN_SECONDS = 10.0
"""How long to wait for the backlog. What is not scored by then is left; the rate counts what was, in that time."""

POLL = 0.25


@dataclass(frozen=True)
class Plan:
    """How long each part takes. The defaults measure two designs three times in under ten minutes."""

    rounds: int = 3
    idle: int = 100
    seconds: float = 4.0


@dataclass(frozen=True)
class Measure:
    what: str
    unit: str
    more_is_better: bool
    target: str = ""


MEASURES = {
    "one": Measure("one-report submissions scored, saturated", "/s", True, "≥ 60"),
    "thousand": Measure("reports scored, 1,000 a submission", "/s", True, "≥ 18"),
    "idle_p50": Measure("idle: submit to score, one report, p50", "ms", False),
    "idle_p99": Measure("idle: submit to score, one report, p99", "ms", False),
    "accept_p50": Measure("accept p50, 32 connections saturated", "ms", False),
    "accept_p99": Measure("accept p99 at half of its own saturation", "ms", False),
}

Figures = dict[str, float]


def measure(site: Site, plan: Plan) -> Figures:
    """Return one value a measure."""
    submit, score = site.kinds["submit"], site.kinds["score"]
    idle = executor.saturate(site.target, score, 1, connections=1, seconds=plan.seconds, requests=plan.idle)
    one = scored_per_second(site, 1, connections=128, plan=plan)
    site.abandon()
    busy = executor.saturate(site.target, submit, 1, connections=32, seconds=plan.seconds)
    site.abandon()
    rate = shapes.RateOverTime("constant", one / 2, 0, plan.seconds, 0)
    half = executor.play(shapes.make(rate, [shapes.SchedulePart(submit)], seed=1), site.target, connections=256)
    site.abandon()
    # The last, for the disk is busy for seconds after it.
    thousand = scored_per_second(site, 1_000, connections=8, plan=plan)
    site.abandon()
    return {
        "one": one,
        "thousand": thousand,
        "idle_p50": _percentile(idle, 50),
        "idle_p99": _percentile(idle, 99),
        "accept_p50": _percentile(busy, 50),
        "accept_p99": _percentile(half, 99),
    }


def scored_per_second(site: Site, size: int, *, connections: int, plan: Plan, drain: float = DRAIN_SECONDS) -> float:
    """Return inputs scored by second, from the first request to the last score: submitting and draining."""
    before, _ = site.stored(size)
    run = executor.saturate(site.target, site.kinds["submit"], size, connections=connections, seconds=plan.seconds)
    accepted = sum(request.size for request in run.seen if 200 <= request.status < 300)
    until = time.monotonic() + drain
    while (stored := site.stored(size))[0] - before < accepted and time.monotonic() < until:
        time.sleep(POLL)
    count, last = stored
    return (count - before) / (last - run.started) if count > before else 0.0


def in_turn(
    designs: Sequence[tuple[str, StartSite]], plan: Plan, tell: Callable[[str], None]
) -> dict[str, list[Figures]]:
    """Measure every design `plan.rounds` times, by turns, so that a slow minute of the machine hits all of them."""
    measured: dict[str, list[Figures]] = {name: [] for name, _ in designs}
    for number in range(plan.rounds):
        for name, start in designs if number % 2 == 0 else reversed(designs):
            with start(f"bench_{name.split()[0]}_{number}") as site:
                figures = measure(site, plan)
            measured[name].append(figures)
            tell(f"round {number + 1} of {plan.rounds}, {name}: " + told(figures))
    return measured


def told(figures: Figures) -> str:
    return ", ".join(f"{name} {value:,.4g}{MEASURES[name].unit}" for name, value in figures.items())


@dataclass(frozen=True)
class Ratio:
    """How many times better the second design is: the median of the rounds, and the worst and best round."""

    measure: Measure
    yardstick: float
    ours: float
    middle: float
    lowest: float
    highest: float


def ratios(yardstick: Sequence[Figures], ours: Sequence[Figures]) -> dict[str, Ratio]:
    found = {}
    for name, measure in MEASURES.items():
        pairs = [(a[name], b[name]) for a, b in zip(yardstick, ours, strict=True)]
        better = [b / a if measure.more_is_better else a / b for a, b in pairs if a and b]
        if better:
            theirs, our = (median(values) for values in zip(*pairs, strict=True))
            found[name] = Ratio(measure, theirs, our, median(better), min(better), max(better))
    return found


def _percentile(run: Run, point: float) -> float:
    good = [(request.ended or request.answered) - request.due for request in run.seen if 200 <= request.status < 300]
    return float(np.percentile(good, point)) * 1000 if good else float("nan")
