"""Measures what a promotion costs while tasks arrive: how soon it is live, what it slows, whether it mixes or loses."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import numpy as np
from sqlalchemy import Connection, Engine, text

from bench import executor, outcome, shapes
from bench.beside import interval_of_median
from bench.site import Servers, Site, millrace
from bench.studies import StudyRow, Tell
from models.report_scorer.spec import SPEC
from registry import administration
from registry.administration import NewVersion
from registry.builtin import CODE
from serving import artifact
from store import workers
from store.engine import connect
from store.states import SUCCESS

TWIN = "1.0.0-twin"
"""A version with the files of the built-in one, so that what it costs to score is the same."""

SECONDS = 12.0
"""Of one run; in one with promotions, the first comes after a third of it and the roll back after two thirds."""

MIXED = text(
    "SELECT count(*) FROM report_scores AS p JOIN tasks AS t ON t.id = task_id WHERE p.model_version <> t.model_version"
)


@dataclass(frozen=True)
class PromotionRun:
    accept_p99_ms: float
    refused: int
    unfinished: int
    live_after: list[float]
    """Seconds from each change until every process had the version."""


def promotions(servers: Servers, rate: float, rounds: int, tell: Tell) -> Iterator[StudyRow]:
    """Yield by round the accept p99 of a run with a promotion and a roll back, and of one without, taken by turns."""
    ratios = []
    with millrace(servers, "promotions", WORKER_MODELS=SPEC.name, WORKER_CONCURRENCY="2") as site:
        engine = connect(site.environment["DATABASE_URL"])
        with engine.begin() as connection:
            add_twin(connection)
        _run(site, engine, rate, change=True)  # what is only slow the first time
        for number in range(rounds):
            order = (False, True) if number % 2 == 0 else (True, False)
            runs = {change: _run(site, engine, rate, change=change) for change in order}
            ratios.append(runs[True].accept_p99_ms / runs[False].accept_p99_ms)
            yield {
                "round": str(number + 1),
                "accept p99 ms": round(runs[False].accept_p99_ms, 1),
                "with promotions": round(runs[True].accept_p99_ms, 1),
                "ratio": round(ratios[-1], 2),
                "live after s": round(max(runs[True].live_after), 1),
                "refused or unfinished": sum(run.refused + run.unfinished for run in runs.values()),
            }
            tell(f"round {number + 1} of {rounds}: ratio {ratios[-1]:.2f}")
        with engine.connect() as connection:
            mixed = int(connection.execute(MIXED).scalar_one())
    low, high = interval_of_median(ratios)
    yield {"round": "median", "ratio": round(median(ratios), 2)}
    yield {"round": "95 % of it", "ratio": f"{low:.2f} to {high:.2f}"}
    yield {"round": "of another version", "refused or unfinished": mixed}


def _run(site: Site, engine: Engine, rate: float, *, change: bool) -> PromotionRun:
    marker = outcome.newest(site.target)
    shape = shapes.RateOverTime("constant", rate, 0, SECONDS, 0)
    schedule = shapes.make(shape, [shapes.SchedulePart("submit", 1)], seed=1)
    with ThreadPoolExecutor(1) as beside:
        changing = beside.submit(_change, engine) if change else None
        run = executor.play(schedule, site.target, connections=128)
        live_after = changing.result() if changing else []
    accepted = [request for request in run.seen if request.status == 202]
    mine = {outcome.task_id(request.body) for request in accepted}
    tasks = outcome.since(site.target, marker, settle=30)
    ended = sum(task.id in mine and task.status == SUCCESS for task in tasks)
    took = [request.answered - request.due for request in accepted]
    p99 = float(np.percentile(took, 99)) * 1000
    return PromotionRun(p99, len(run.seen) - len(accepted), len(accepted) - ended, live_after)


def _change(engine: Engine) -> list[float]:
    """Promote the twin, then roll back."""
    found = []
    for version in (TWIN, artifact.current(SPEC.name).version):
        time.sleep(SECONDS / 3)
        begin = time.monotonic()
        with engine.begin() as connection:
            if version == TWIN:
                administration.promote(connection, SPEC.name, version, "bench")
            else:
                administration.roll_back(connection, SPEC.name, "bench")
        while not _is_live(engine, version):
            time.sleep(0.05)
        found.append(time.monotonic() - begin)
    return found


def _is_live(engine: Engine, version: str) -> bool:
    with engine.connect() as connection:
        return {of for _, of in workers.processes_by_version(connection)} == {version}


def add_twin(connection: Connection) -> None:
    """Add the version TWIN of the report scorer, a candidate."""
    found = artifact.current(SPEC.name)
    files = {name: found.path / name for name in found.manifest["sha256"]}
    runtime, evaluation = f"{CODE}{SPEC.name}", found.evaluation
    new = NewVersion(
        *(SPEC.name, SPEC.table, runtime, None, files, {"twin": True}),
        evaluation=evaluation,
        version=TWIN,
    )
    administration.add(connection, new, "bench")
