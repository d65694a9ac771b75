"""Measures what open consoles cost the path: its rate and how fast it accepts, with their streams and without."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from subprocess import PIPE, Popen

import numpy as np

from bench import executor, shapes
from bench.processes import Watch
from bench.site import Servers, Site, millrace
from bench.studies import CONNECTIONS, StudyRow, Tell
from bench.yardstick import Plan, scored_per_second
from devstack.local import ROOT

LEAST = 2
"""Events that each console must have got, so that it was open."""

MEASURES = {
    "scored": "single reports scored, saturated, /s",
    "p50": "accept p50 at a constant rate, ms",
    "p99": "accept p99 at a constant rate, ms",
    "cpu": "CPU of handler and PostgreSQL meanwhile, ms a second",
    "idle": "CPU of both without any load, ms a second",
}


def consoles(servers: Servers, count: int, rate: float, rounds: int, seconds: float, tell: Tell) -> Iterator[StudyRow]:
    """Yield both figures, with so many consoles and without, and the ratio of each round's pair.

    A round that the machine disturbs is as likely to come out high as low, so the true ratio lies between the lowest
    and the highest of n rounds with a probability of 1 - 2 ** (1 - n).
    """
    found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    with millrace(servers, "consoles") as site:
        plan = Plan(seconds=seconds)
        for number in range(rounds):
            for is_open in (False, True) if number % 2 == 0 else (True, False):
                with open_consoles(site, count if is_open else 0):
                    found[is_open].append(_figures(site, plan, rate))
            tell(f"round {number + 1} of {rounds}: {found[False][-1]} without, {found[True][-1]} with {count} consoles")
    for name, measure in MEASURES.items():
        without, beside = ([figures[name] for figures in found[is_open]] for is_open in (False, True))
        ratios = sorted(b / a for a, b in zip(without, beside, strict=True))
        yield {
            "": measure,
            "without": round(median(without), 1),
            f"{count} consoles": round(median(beside), 1),
            "ratio": round(median(ratios), 3),
            "lowest": round(ratios[0], 3),
            "highest": round(ratios[-1], 3),
        }


def _figures(site: Site, plan: Plan, rate: float) -> dict[str, float]:
    scored = scored_per_second(site, 1, connections=CONNECTIONS[1], plan=plan)
    site.abandon()
    steady = shapes.RateOverTime("constant", rate, 0, plan.seconds, 0)
    schedule = shapes.make(steady, [shapes.SchedulePart("submit", 1)], seed=1)
    with _watch(site) as loaded:
        run = executor.play(schedule, site.target, connections=256)
    site.abandon()
    with _watch(site) as idle:
        time.sleep(plan.seconds)
    took = [(request.answered - request.due) * 1000 for request in run.seen if request.status == 202]
    return {
        "scored": round(scored, 1),
        "p50": round(float(np.percentile(took, 50)), 2),
        "p99": round(float(np.percentile(took, 99)), 2),
        "cpu": round(_cpu(loaded) / run.took * 1000, 1),
        "idle": round(_cpu(idle) / plan.seconds * 1000, 1),
    }


def _watch(site: Site) -> Watch:
    return Watch({name: site.pids[name] for name in ("handler", "postgres")})


def _cpu(watch: Watch) -> float:
    return sum(usage.cpu_seconds for usage in watch.usage.values())


@contextmanager
def open_consoles(site: Site, count: int) -> Iterator[None]:
    """Keep so many tabs open in a program of their own: in this one they would hold up the load."""
    if not count:
        yield
        return
    command = [sys.executable, "-m", "bench.tabs", site.target.host, str(site.target.port), str(count)]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}) as tabs:
        assert tabs.stdout is not None and tabs.stdin is not None  # noqa: S101, PT018 - they are pipes
        if (said := tabs.stdout.readline().strip()) != "open":
            raise SystemExit(f"the consoles did not open: {said}")
        yield
        tabs.stdin.close()
        if (events := int(tabs.stdout.readline())) < LEAST:
            raise SystemExit(f"a console got {events} events only")
