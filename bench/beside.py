"""Measures what something beside the path costs it: what is scored and how fast is accepted, with it and without."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from statistics import median

import numpy as np

from bench import executor, shapes
from bench.site import Site
from bench.studies import CONNECTIONS, StudyRow, Tell
from bench.yardstick import Plan, scored_per_second

Beside = Callable[[Site], AbstractContextManager[None]]
"""Runs something beside the path for as long as the block."""

MEASURES = {
    "scored": "single reports scored, saturated, /s",
    "p99": "accept p99 at half of saturation, ms",
}


def cost_of(site: Site, name: str, beside: Beside, rounds: int, seconds: float, tell: Tell) -> Iterator[StudyRow]:
    """Yield each figure with and without it, the median ratio of the pairs, and that ratio's 95 % interval."""
    found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    plan = Plan(seconds=seconds)
    half = scored_per_second(site, 1, connections=CONNECTIONS[1], plan=plan) / 2
    for number in range(rounds):
        for is_beside in (False, True) if number % 2 == 0 else (True, False):
            with beside(site) if is_beside else nullcontext():
                found[is_beside].append(_figures(site, plan, half))
        tell(f"round {number + 1} of {rounds}: {found[False][-1]} without, {found[True][-1]} with {name}")
    for measure, words in MEASURES.items():
        without, with_it = ([figures[measure] for figures in found[is_beside]] for is_beside in (False, True))
        ratios = [b / a for a, b in zip(without, with_it, strict=True)]
        low, high = interval_of_median(ratios)
        yield {
            "": words,
            "without": round(median(without), 1),
            f"with {name}": round(median(with_it), 1),
            "ratio": round(median(ratios), 3),
            "95 % of it": f"{low:.3f} to {high:.3f}",
        }


def _figures(site: Site, plan: Plan, rate: float) -> dict[str, float]:
    scored = scored_per_second(site, 1, connections=CONNECTIONS[1], plan=plan)
    site.abandon()
    steady = shapes.RateOverTime("constant", rate, 0, plan.seconds, 0)
    run = executor.play(shapes.make(steady, [shapes.SchedulePart("submit", 1)], seed=1), site.target, connections=256)
    site.abandon()
    took = [(request.answered - request.due) * 1000 for request in run.seen if request.status == 202]
    return {"scored": round(scored, 1), "p99": round(float(np.percentile(took, 99)), 2)}


def interval_of_median(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the median, by the bootstrap (Efron, 1979)."""
    random = np.random.default_rng(1)
    medians = np.median(random.choice(values, size=(10_000, len(values))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(low), float(high)
