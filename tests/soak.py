"""`make soak`: a steady load on a whole platform, and whether any of its programs grows.

Its own memory (USS) of every program is sampled; after a warm-up of a quarter of the time none may grow by more than
`FLOOR` and `SLOPE`. SOAK_SECONDS sets the time, SOAK_RATE the requests a second.
"""

import itertools
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

from devstack.ports import METERED
from tests.running import REPORT, ROOT, eventually, free_port, free_ports, temporary_open_folder

SECONDS, RATE = 26 * 60.0, 20.0
SAMPLES = 200
FLOOR = 2.0
"""MB by which a program may seem to grow for no reason: allocators, garbage that waits."""

FLOORS = {"Flower": 3.0}
"""MB for a program that is not ours: of its 80,000 objects Python looks for cycles only when 20,000 more have survived.
Held after a collection, it has grown by 60 kB in nine minutes (tracemalloc); its memory stands still after twenty."""

SLOPE = 0.1
"""MB a minute by which a program may grow beyond the floor, in a run so long that this is more."""

PROGRAMS = {
    "uvicorn": "handler",
    "worker": "worker",
    "rescue": "rescue",
    "webhooks": "webhooks",
    "flower": "Flower",
    "up": "make up",
}
DELIVERIES = 100
"""Deliveries that Flower remembers here. With its default, 2,000, it takes 16 minutes of this load until its memory is
full, and grows until then as it should."""

TEXTS = ("The goalie made 40 saves.", "The shuttle docked with the station.", "Which graphics card is faster?")
BARS = "▁▂▃▄▅▆▇█"


@dataclass
class Memory:
    """What each program used, at the same moments."""

    minutes: list[float] = field(default_factory=list)
    megabytes: dict[str, list[float]] = field(default_factory=dict)

    def add(self, minute: float, now: Mapping[str, float]) -> None:
        self.minutes.append(minute)
        for name, used in now.items():
            self.megabytes.setdefault(name, []).append(used)

    def growth(self, name: str) -> tuple[float, float, float]:
        """Return the least megabytes of the second and of the last quarter, and the minutes between their middles.

        The least, as that is what a program falls back to: what it holds for a moment is no growth.
        """
        quarter = max(1, len(self.minutes) // 4)
        used = self.megabytes[name]
        between = statistics.median(self.minutes[-quarter:]) - statistics.median(self.minutes[quarter : 2 * quarter])
        return min(used[quarter : 2 * quarter]), min(used[-quarter:]), between

    def grown(self) -> list[str]:
        """Return the programs that have grown by more than they may."""
        found = []
        for name in self.megabytes:
            before, after, minutes = self.growth(name)
            if after - before > max(FLOORS.get(name, FLOOR), SLOPE * minutes):
                found.append(name)
        return found


def sample(up: psutil.Process) -> dict[str, float]:
    """Return the megabytes that every program and its children have for themselves."""
    used: dict[str, float] = {}
    for process in (up, *up.children(recursive=True)):
        with suppress(psutil.Error, IndexError):
            name = _program(process)
            if name:
                used[name] = used.get(name, 0.0) + process.memory_full_info().uss / 1e6
    return used


def _program(process: psutil.Process) -> str | None:
    if process.name() in ("postgres", "valkey-server"):
        return {"postgres": "PostgreSQL", "valkey-server": "Valkey"}[process.name()]
    words = process.cmdline()
    found = next((PROGRAMS[word] for word in words if word in PROGRAMS), None)
    if found is None and process.ppid() and "celeryd" in " ".join(words):
        return "worker"
    return found


@contextmanager
def running(folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    """Run `millrace up` with servers of its own, and yield its process and the handler's address."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    environment |= {
        "MILLRACE_FOLDER": str(folder / "millrace"),
        "PORT": str(port),
        "FLOWER_PORT": str(free_port()),
        "FLOWER_MAX_TASKS": str(DELIVERIES),
        "METRICS_PORT": str(free_ports(len(METERED))),
    }
    log = folder / "up.log"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [Path(sys.executable).parent / "millrace", "up"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )

    def ready() -> bool:
        if up.poll() is not None:
            sys.exit(log.read_text())
        return "Ctrl-C stops it all" in log.read_text()

    try:
        eventually(ready, within=240, every=0.5)
        yield psutil.Process(up.pid), f"http://127.0.0.1:{port}"
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(60)


def requests(client: httpx.Client) -> Iterator[None]:
    """Send one request after the other, of every kind; inputs repeat, so that no cache has a reason to grow."""
    for number in itertools.count():
        reports = [REPORT | {"popularity": n % 6, "report_text_len": n % 50} for n in range(1 + number % 20)]
        task = client.post("/submit", json=reports, headers={"Idempotency-Key": f"soak-{number}"}).json()["task_id"]
        yield
        client.get(f"/task/{task}", headers={"Prefer": "wait=5"})
        yield
        client.post("/prediction", json={"text": TEXTS[number % len(TEXTS)]})
        yield
        client.post("/predict", json=REPORT | {"popularity": "many"})  # refused
        yield
        client.get(("/tasks", "/workers", "/health/ready", "/models")[number % 4])
        yield
        client.post(f"/task/{task}/cancel")
        yield


def soak(seconds: float, rate: float, tell: Console | None = None) -> Memory:
    """Put the load on a platform for so long, and return what its programs used."""
    memory = Memory()
    with temporary_open_folder() as folder, running(folder) as (up, address), httpx.Client(base_url=address) as client:
        client.timeout = httpx.Timeout(60)
        sending = requests(client)
        begin = time.monotonic()
        looked = sent = 0
        while (passed := time.monotonic() - begin) < seconds:
            if passed >= looked * seconds / SAMPLES:
                memory.add(passed / 60, sample(up))
                looked = int(passed * SAMPLES / seconds) + 1
                if tell and looked % 10 == 0:
                    tell.print(f"{passed / 60:5.1f} min  {sent:,} requests  " + _now(memory), soft_wrap=True)
            if sent < passed * rate:
                next(sending)
                sent += 1
            else:
                time.sleep(0.5 / rate)
    return memory


def _now(memory: Memory) -> str:
    return "  ".join(f"{name} {used[-1]:.1f}" for name, used in memory.megabytes.items())


def table(memory: Memory) -> Table:
    drawn = Table("program", "MB after the warm-up", "MB at the end", "growth", "MB a minute", "over time")
    for name in memory.megabytes:
        before, after, minutes = memory.growth(name)
        mark = " ✗" if name in memory.grown() else ""
        slope = f"{(after - before) / max(minutes, 1e-9):+.2f}"
        drawn.add_row(name, f"{before:.1f}", f"{after:.1f}", f"{after - before:+.1f}{mark}", slope, _line(memory, name))
    return drawn


def _line(memory: Memory, name: str) -> str:
    used = memory.megabytes[name]
    low, high = min(used), max(max(used), min(used) + FLOOR)
    step = max(1, len(used) // 40)
    means: Sequence[float] = [statistics.fmean(used[at : at + step]) for at in range(0, len(used), step)]
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in means)


def main() -> None:
    seconds, rate = float(os.environ.get("SOAK_SECONDS", SECONDS)), float(os.environ.get("SOAK_RATE", RATE))
    console = Console(highlight=False, width=max(130, shutil.get_terminal_size().columns))
    console.print(
        f"{seconds / 60:.1f} minutes at {rate:.0f} requests/s; memory of its own (USS) of each program, in MB"
    )
    memory = soak(seconds, rate, console)
    console.print(table(memory))
    if grown := memory.grown():
        sys.exit(f"{', '.join(grown)} grew by more than is allowed for no reason, and by {SLOPE} MB a minute")


if __name__ == "__main__":
    main()
