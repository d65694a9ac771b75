"""Answers the questions that come before an installation: how it grows, ages, bears too much, and lets through."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from bench import executor, outcome, shapes
from bench.executor import Seen
from bench.filling import fill
from bench.processes import Watch
from bench.site import Servers, Site, millrace
from bench.yardstick import Plan, scored_per_second
from store.states import SUCCESS

SIZES = (1, 10, 100, 1_000, 10_000)
CONNECTIONS = {1: 128, 10: 64, 100: 16, 1_000: 8, 10_000: 4}
"""As many as keep the platform busy with submissions of this size."""

OVERLOAD_INPUTS = 1_000
"""Inputs a submission: of a hundred each, the generator is over its own capacity as soon as the platform is."""

FLOOD_SECONDS = 20.0

RECOVERED = 3
"""How many times its idle median a single prediction may take for the platform to have recovered."""

StudyRow = dict[str, float | int | str]
Tell = Callable[[str], None]


def growth(
    servers: Servers, workers: Sequence[int], handlers: Sequence[int], rounds: int, tell: Tell
) -> Iterator[StudyRow]:
    """Yield inputs scored per second by worker processes, handler processes and inputs a submission: medians."""
    for processes in workers:
        for fronts in handlers:
            settings = {"WEB_CONCURRENCY": str(fronts), "WORKER_CONCURRENCY": str(processes)}  # uvicorn's, and ours
            with millrace(servers, f"growth_{processes}_{fronts}", _as_it_is, **settings) as site:
                for size in SIZES:
                    rates = [_rate(site, size) for _ in range(rounds)]
                    idle = _idle(site)
                    yield {
                        "worker processes": processes,
                        "handlers": fronts,
                        "inputs a submission": size,
                        "inputs scored /s": round(median(rates)),
                        "one at a time p50 ms": round(float(np.percentile(idle, 50)), 1),
                    }
                tell(f"{processes} worker processes, {fronts} handlers: done")


def aged(servers: Servers, predictions: int, rounds: int, tell: Tell) -> Iterator[StudyRow]:
    """Yield the figures of an empty database and of one with so many predictions, taken by turns."""
    found: dict[str, list[tuple[float, float, float]]] = {"empty": [], f"{predictions:,} stored": []}
    with ExitStack() as open_:
        begin = time.monotonic()
        full = open_.enter_context(millrace(servers, "aged_full", partial(fill, predictions=predictions)))
        tell(f"{predictions:,} predictions stored in {time.monotonic() - begin:.0f} s")
        empty = open_.enter_context(millrace(servers.with_redis(1), "aged_empty"))  # a queue of its own
        for number in range(rounds):
            turns = list(zip(found, (empty, full), strict=True))
            for name, site in turns if number % 2 == 0 else reversed(turns):
                found[name].append((_rate(site, 1), _rate(site, 1_000), float(np.percentile(_idle(site), 50))))
            tell(f"round {number + 1} of {rounds}: {[values[-1] for values in found.values()]}")
    for name, values in found.items():
        one, thousand, idle = (median(column) for column in zip(*values, strict=True))
        yield {
            "store": name,
            "one a submission, scored /s": round(one),
            "1,000 a submission, scored /s": round(thousand),
            "one at a time p50 ms": round(idle, 1),
        }


@dataclass(frozen=True)
class Overload:
    capacity: float
    """Inputs scored per second, saturated."""
    offered: float
    accepted: int
    refused: int
    failed: int
    unfinished: int
    """Accepted tasks that had not succeeded when the backlog was gone."""
    accept_p50_ms: float
    accept_p99_ms: float
    refuse_p99_ms: float
    drain_seconds: float
    """From the end of the load until the last accepted task was scored."""
    recovery_seconds: float
    """From the end of the load until a single prediction took no longer than three times what it took before."""
    generator_late_ms: float
    """p99 of how much later than planned the generator itself was."""


def overload(servers: Servers, times: float, seconds: float, backlog_seconds: float, tell: Tell) -> Overload:
    """Offer `times` what it can score; the limit of its backlog is what it scores in `backlog_seconds`."""
    with millrace(servers, "overload_capacity") as site:
        capacity = _rate(site, OVERLOAD_INPUTS)
    tell(f"It scores {capacity:,.0f} inputs/s.")
    limit = str(int(capacity * backlog_seconds))
    with millrace(servers, "overload", MAX_BACKLOG_INPUTS=limit) as site:
        idle = float(np.median(_idle(site)))
        marker = outcome.newest(site.target)
        rate = shapes.RateOverTime("constant", times * capacity / OVERLOAD_INPUTS, 0, seconds, 0)
        schedule = shapes.make(rate, [shapes.SchedulePart("submit", OVERLOAD_INPUTS)], seed=1)
        run = executor.play(schedule, site.target, connections=512)
        over = time.monotonic()
        recovered = _recover(site, idle, over)
        tasks = outcome.since(site.target, marker, settle=60)
    mine = {outcome.task_id(request.body) for request in run.seen if request.status == 202}
    ended = [task for task in tasks if task.id in mine and task.status == SUCCESS]
    last = max((task.finished or 0.0 for task in ended), default=0.0)
    accepted = [request for request in run.seen if request.status == 202]
    refused = [request for request in run.seen if request.status in (429, 503)]
    return Overload(
        capacity,
        len(run.seen) * OVERLOAD_INPUTS / run.took,
        len(accepted),
        len(refused),
        len(run.seen) - len(accepted) - len(refused),
        len(accepted) - len(ended),
        _percentile(accepted, 50),
        _percentile(accepted, 99),
        _percentile(refused, 99),
        max(0.0, last - (run.started + run.took)),
        recovered,
        float(np.percentile([request.woken - request.due for request in run.seen], 99)) * 1000,
    )


def overtaking(servers: Servers, batch: int, batches: float) -> Iterator[StudyRow]:
    """Yield how long single reports take, alone and while one batch after another waits at a lower priority."""
    with millrace(servers, "overtaking") as site:
        alone = _idle(site, "predict-high", 200)
        with ThreadPoolExecutor(1) as beside:
            rate = shapes.RateOverTime("constant", batches, 0, FLOOD_SECONDS, 0)
            schedule = shapes.make(rate, [shapes.SchedulePart("submit-low", batch)], seed=1)
            flood = beside.submit(executor.play, schedule, site.target, connections=16)
            meanwhile: list[float] = []
            while not flood.done():
                meanwhile += _idle(site, "predict-high", 10)
            refused = sum(request.status != 202 for request in flood.result().seen)
    for name, values in (("alone", alone), (f"beside {batches:g} batches of {batch:,} a second", meanwhile)):
        points: Any = np.percentile(values, [50, 99])
        yield {
            "single reports": name,
            "count": len(values),
            "p50 ms": round(points[0], 1),
            "p99 ms": round(points[1], 1),
        }
    yield {"single reports": f"({refused} of those batches were refused)"}


def memory(servers: Servers) -> Iterator[StudyRow]:
    """Yield the memory of each program after some thousand tasks, in MB; shared pages count once."""
    with (
        millrace(servers, "memory", WORKER_MODELS="report_scorer") as site,
        Watch({name: site.pids[name] for name in ("handler", "worker")}) as watch,
    ):
        _rate(site, 1)
        _rate(site, 1_000)
    for name, usage in watch.usage.items():
        yield {"program": name, "processes": usage.processes, "peak MB": round(usage.peak_bytes / 1e6)}


def _as_it_is(database_url: str) -> None:
    """An empty database needs no preparation."""


def _rate(site: Site, size: int) -> float:
    rate = scored_per_second(site, size, connections=CONNECTIONS[size], plan=Plan(seconds=3.0))
    site.abandon()
    return rate


def _idle(site: Site, kind: str = "predict", requests: int = 60) -> list[float]:
    """Return milliseconds that single predictions take, one at a time."""
    run = executor.saturate(site.target, kind, 1, connections=1, seconds=30, requests=requests)
    return [(request.answered - request.due) * 1000 for request in run.seen if request.status == 200]


def _recover(site: Site, idle: float, over: float) -> float:
    """Return seconds after `over` until a single prediction takes no longer than a few times `idle` milliseconds."""
    while time.monotonic() - over < 60:
        took = _idle(site, requests=1)
        if took and took[0] < RECOVERED * idle:
            break
    return time.monotonic() - over


def _percentile(requests: Sequence[Seen], point: float) -> float:
    took = [request.answered - request.due for request in requests]
    return float(np.percentile(took, point)) * 1000 if took else float("nan")
