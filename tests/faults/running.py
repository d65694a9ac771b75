"""One run: a steady load, faults in the midst of it, and the checker's verdict at the end."""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from uuid import UUID

import httpx
import psutil  # type: ignore[import-untyped]
from sqlalchemy import text

from tests.faults import evidence
from tests.faults.checker import Verdict, check
from tests.faults.driver import Driver
from tests.faults.faults import FAULTS
from tests.faults.report import Report
from tests.faults.site import Site
from tests.faults.stream import Ledger, Submission

LOW, HIGH = 12, 3
"""Tasks of low priority that wait already when those of high priority come."""

PUBLISHED = 0.5
"""Seconds after which the last message is out, though the machine is busy: a 202 does not wait for it."""


def run(site: Site, report: Report, breaking: Callable[[Report, random.Random], None]) -> Verdict:
    """Load the site while `breaking` breaks it; then let it come to rest and check everything.

    What explains a run that fails lies beside its report: the logs so far, and the tasks that have not ended.
    """
    ledger = Ledger()
    try:
        verdict = _run(site, report, breaking, ledger)
    except BaseException as error:
        report.broke_off(error, ledger)
        evidence.keep(site, report.evidence)
        raise
    if verdict.errors:
        evidence.keep(site, report.evidence)
    return verdict


def _run(site: Site, report: Report, breaking: Callable[[Report, random.Random], None], ledger: Ledger) -> Verdict:
    site.wait_until_ready()
    site.forget()
    start = time.monotonic()
    discarded = _discarded(site)
    chance = random.Random(report.seed)  # noqa: S311 - to be repeated
    with Driver(site.urls, ledger, name="c", seed=report.seed, callback=site.receiver.url, key=site.key):
        time.sleep(1)
        breaking(report, chance)
        ledger.broken += [f"{worker} is deaf" for worker in site.deaf_workers()]
    report.recovered(site.recovery(), "the end of the load")
    if not site.is_pooled:
        site.wait_until_ready()
        ledger.broken += _overtaking(site, ledger)
    site.wait_for_callbacks()
    for body in site.told():
        ledger.was_called_back(body)
    report.seconds = time.monotonic() - start
    report.discarded = _discarded(site) - discarded
    verdict = check(site.engine, ledger)
    report.conclude(verdict, ledger)
    return verdict


def strike(site: Site, report: Report, chance: random.Random, names: list[str]) -> None:
    """Let these faults happen at once, and note how long it took until all that was accepted by their end was final."""
    failures: list[BaseException] = []
    report.struck(" + ".join(names))

    def one(name: str, seed: int) -> None:
        try:
            FAULTS[name](site, random.Random(seed))  # noqa: S311 - to be repeated
        except BaseException as error:  # told by the thread that waits
            error.add_note(name)
            report.struck(f"{name}: {error!r}")
            failures.append(error)

    threads = [threading.Thread(target=one, args=(name, chance.getrandbits(32))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    report.faults.update(names)
    seconds = site.recovery()
    report.recovered(seconds, " + ".join(names))
    report.struck(f"over, and recovered after {seconds:.1f} s")


def _discarded(site: Site) -> int:
    return sum(site.zombie_results(worker) for worker in site.workers)


def _overtaking(site: Site, ledger: Ledger) -> list[str]:
    """Hold the workers until tasks of low and then of high priority wait, and say whether one of low was last."""
    with _held([child for worker in site.workers for child in site.children_of(worker)]):
        low, high = (
            [_submit(site, ledger, Submission(priority, number, 1, priority=priority)) for number in range(count)]
            for priority, count in (("low", LOW), ("high", HIGH))
        )
        time.sleep(PUBLISHED)
    site.recovery()
    begun = text("SELECT max(started_at) FROM tasks WHERE id = ANY(:ids)")
    with site.engine.connect() as connection:
        if connection.scalar(begun, {"ids": high}) <= connection.scalar(begun, {"ids": low}):
            return []
    return ["tasks of low priority were begun before those of high priority that waited with them"]


@contextmanager
def _held(processes: Sequence[psutil.Process]) -> Iterator[None]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def _submit(site: Site, ledger: Ledger, submission: Submission) -> UUID:
    ledger.tried(submission)
    headers = {"Authorization": f"Bearer {site.key}"} if site.key else {}
    answer = httpx.post(
        f"{site.urls[0]}/submit", json=submission.inputs, params=submission.query, headers=headers, timeout=30
    )
    answer.raise_for_status()
    task_id = UUID(answer.json()["task_id"])
    ledger.was_accepted(task_id, submission)
    return task_id
