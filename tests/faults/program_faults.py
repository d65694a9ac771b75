"""What can befall our programs: they are killed, stopped, frozen, and their clocks go wrong."""

import random
import signal
import time
from contextlib import suppress

import psutil  # type: ignore[import-untyped]
from sqlalchemy.exc import DBAPIError

from tests.faults.site import DATABASE_TIMEOUT, HANDLERS, LEASE, WORKERS, Site
from tests.release import NoHistory

FROZEN = LEASE + 1.5
"""Seconds that a frozen worker stays away: its lease runs out, and rescue takes its tasks back."""

CATCH = 3
"""Seconds to try for a moment at which a worker owns tasks."""

HOUR = 3600

STARTED = 30
"""Seconds at most for a worker to start and score something."""


def kill_a_worker_process(site: Site, chance: random.Random) -> None:
    """Kill a process that owns tasks."""
    _signal(_freeze_an_owner(site, chance.choice(site.workers)), signal.SIGKILL)


def kill_worker_processes_in_a_row(site: Site, chance: random.Random) -> None:
    """Some of these hit between Redis's pop of a message and its note that the message is out: the message is gone."""
    for _ in range(5):
        _signal(site.children_of(chance.choice(site.workers)), signal.SIGKILL)
        time.sleep(chance.uniform(0.2, 0.8))


def kill_a_worker(site: Site, chance: random.Random) -> None:
    """Kill the main process. Its processes are orphans that may still finish what they have."""
    name = chance.choice(site.workers)
    site.orphans += site.children_of(name)
    site.programs[name].process.kill()


def kill_a_handler(site: Site, chance: random.Random) -> None:
    site.programs[chance.choice(HANDLERS)].process.kill()


def lose_answers(site: Site, chance: random.Random) -> None:
    """Break the clients' connections while answers are on their way: some were accepted and never hear of it."""
    for _ in range(4):
        front = chance.choice(site.fronts)
        with front.delay(0.3):
            time.sleep(chance.uniform(0.4, 0.8))
            front.reset()


def freeze_a_handler(site: Site, chance: random.Random) -> None:
    """Its clients time out and go to the other; then it goes on in the midst of what it did."""
    _freeze(site, chance.choice(HANDLERS), chance.choice((1, FROZEN, DATABASE_TIMEOUT + 2)))


def kill_webhooks(site: Site, chance: random.Random) -> None:
    site.programs["webhooks"].process.kill()


def freeze_webhooks(site: Site, chance: random.Random) -> None:
    _freeze(site, "webhooks", FROZEN)


def refuse_callbacks(site: Site, chance: random.Random) -> None:
    """The receiver of the callbacks has troubles of its own."""
    site.receiver.answers = [(chance.choice((500, 503)), {})]
    time.sleep(1)
    site.receiver.answers = [(204, {})]


def run_the_release_before(site: Site, chance: random.Random) -> None:
    """Replace a handler and a worker by those of the release before, and these by today's, as a rollback does."""
    try:
        release = site.release_before()
    except NoHistory as error:
        print(f"no release before: {error}")
        return
    replaced = chance.choice(HANDLERS), chance.choice(WORKERS)
    scored = site.log(replaced[1]).count("chunk_scored")
    for name in replaced:
        site.roots[name] = release
        site.programs[name].process.terminate()
    until = time.monotonic() + STARTED
    while site.log(replaced[1]).count("chunk_scored") < scored + 20 and time.monotonic() < until:
        time.sleep(0.2)
    for name in replaced:
        del site.roots[name]
        site.programs[name].process.terminate()


def kill_rescue(site: Site, chance: random.Random) -> None:
    site.programs["rescue"].process.kill()


def stop_a_worker_gracefully(site: Site, chance: random.Random) -> None:
    site.programs[chance.choice(site.workers)].process.terminate()


def freeze_a_worker(site: Site, chance: random.Random) -> None:
    """Freeze a process that owns tasks for longer than its lease: it comes back as a zombie that finishes late."""
    frozen = _freeze_an_owner(site, chance.choice(site.workers))
    time.sleep(FROZEN)
    _signal(frozen, signal.SIGCONT)


def freeze_rescue(site: Site, chance: random.Random) -> None:
    _freeze(site, "rescue", FROZEN)


def step_clocks(site: Site, chance: random.Random) -> None:
    """Let the clocks of some programs jump by up to an hour, and back again."""
    wrong = chance.sample(list(site.programs), min(3, len(site.programs)))
    for name in wrong:
        site.clock_of(name).write_text(str(chance.uniform(-HOUR, HOUR)))
    time.sleep(3)
    for name in wrong:
        site.clock_of(name).unlink()


def _freeze(site: Site, name: str, seconds: float) -> None:
    """Freeze a program, if no other fault has just ended it."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(site.programs[name].pid)
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)


def _signal(processes: list[psutil.Process], which: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(which)


def _freeze_an_owner(site: Site, worker: str) -> list[psutil.Process]:
    """Freeze the process of a worker at a moment at which it owns tasks, if there is one within some seconds."""
    until = time.monotonic() + CATCH
    while True:
        processes = site.children_of(worker)
        _signal(processes, signal.SIGSTOP)
        if _owns_tasks(site) or time.monotonic() > until:
            return processes
        _signal(processes, signal.SIGCONT)
        time.sleep(0.03)


def _owns_tasks(site: Site) -> bool:
    """Say whether somebody holds a claim for longer than a process that goes on would."""
    try:
        before = site.started()
        if not before:
            return False
        time.sleep(0.1)
        return bool(before & site.started())
    except DBAPIError:  # Postgres is away, by a fault of its own
        return False
