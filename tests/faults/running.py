"""One run: a steady load, faults in the midst of it, and the checker's verdict at the end."""

import random
import threading
import time
from collections.abc import Callable

from tests.faults.checker import Verdict, check
from tests.faults.driver import Driver
from tests.faults.faults import FAULTS
from tests.faults.report import Report
from tests.faults.site import Site
from tests.faults.stream import Ledger


def run(site: Site, report: Report, breaking: Callable[[Report, random.Random], None]) -> Verdict:
    """Load the site while `breaking` breaks it; then let it come to rest and check everything."""
    site.wait_until_ready()
    site.forget()
    start = time.monotonic()
    discarded = _discarded(site)
    ledger = Ledger()
    chance = random.Random(report.seed)  # noqa: S311 - to be repeated
    with Driver(site.urls, ledger, name="c", seed=report.seed):
        time.sleep(1)
        breaking(report, chance)
        ledger.broken += [f"{worker} is deaf" for worker in site.deaf_workers()]
    report.recovered(site.recovery(), "the end of the load")
    report.seconds = time.monotonic() - start
    report.discarded = _discarded(site) - discarded
    verdict = check(site.engine, ledger)
    report.conclude(verdict, ledger)
    return verdict


def strike(site: Site, report: Report, chance: random.Random, names: list[str]) -> None:
    """Let these faults happen at once, and note how long it took until all that was accepted by their end was final."""
    failures: list[BaseException] = []

    def one(name: str, seed: int) -> None:
        try:
            FAULTS[name](site, random.Random(seed))  # noqa: S311 - to be repeated
        except BaseException as error:  # told by the thread that waits
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
    print(f"{seconds:6.1f} s  {' + '.join(names)}", flush=True)


def _discarded(site: Site) -> int:
    return sum(site.zombie_results(worker) for worker in site.workers)
