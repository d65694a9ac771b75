"""The loads that comparable public services were published with, as presets that can be run here."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from bench import burn, executor, shapes, site
from bench.connection import LoadTarget
from bench.executor import Run
from bench.schedule import Schedule
from bench.site import Servers, Site

REQUESTS = 100
BURNS = 50
TIMEOUT = 600.0
"""Seconds; no published client gave up."""


@dataclass(frozen=True)
class Preset:
    title: str
    load: Callable[[LoadTarget], Run]
    start: Callable[[Servers], AbstractContextManager[Site]]
    """Starts what it is to be run against, where --start asks for that."""
    schedule: Schedule | None = None
    """Of an open loop."""


@contextmanager
def burning(servers: Servers, database: str = "bench", **settings: str) -> Iterator[Site]:
    """Run Millrace with the burn model."""
    folder = servers.folder / f"burn-{database}"
    folder.mkdir(mode=0o755)
    with site.millrace(servers, database, burn.register, **burn.serve(folder), **settings) as running:
        yield running


def _millrace(servers: Servers) -> AbstractContextManager[Site]:
    return site.millrace(servers, "bench")


def _closed(title: str, kind: str, clients: int, start: Callable[[Servers], AbstractContextManager[Site]]) -> Preset:
    def load(target: LoadTarget) -> Run:
        requests = clients * BURNS
        return executor.saturate(
            target, kind, 1, connections=clients, seconds=TIMEOUT, requests=requests, timeout=TIMEOUT
        )

    return Preset(title, load, start)


def _open(schedule: Schedule) -> Preset:
    def load(target: LoadTarget) -> Run:
        return executor.play(schedule, target, connections=1000)

    return Preset(schedule.title, load, _millrace, schedule)


def _every(interval: float, size: int) -> Schedule:
    rate = shapes.RateOverTime("constant", 1 / interval, 0, REQUESTS * interval, 0)
    title = f"/translation: {REQUESTS} requests of {size}, one every {interval:g} s"
    return shapes.make(rate, [shapes.SchedulePart("translation", size)], seed=1, title=title)


def _users(users: int, seconds: float) -> Schedule:
    rate = shapes.RateOverTime("ramp", 0, 2 * users / seconds, seconds, 0)
    title = f"/prediction: {users:,} users, more and more a second, within {seconds:g} s"
    return shapes.make(rate, [shapes.SchedulePart("prediction")], seed=1, title=title)


def presets() -> dict[str, Preset]:
    """Return every preset by name."""
    found = {}
    for clients in (10, 20):
        title = f"{clients} clients, {BURNS} requests each, 10 million cycles"
        found[f"burn-sync-{clients}"] = _closed(f"{title}, in the API's process", "burn-sync", clients, site.burn_sync)
        found[f"burn-{clients}"] = _closed(f"{title}, Millrace", "burn", clients, burning)
    for size in (1, 16):
        for interval in (0.5, 0.1, 0.01):
            found[f"translation-{size}-{interval:g}"] = _open(_every(interval, size))
    found["prediction-ramp"] = _open(_users(10_000, 100))
    return found
