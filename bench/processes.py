"""CPU and memory of the programs under load, each together with its children."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import psutil  # type: ignore[import-untyped]

INTERVAL = 0.25
MEMORY_EVERY = 4
"""Memory is read at every so manieth sample: the kernel adds up all pages for it."""


@dataclass
class ProcessUsage:
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    """Of the program and its children together; a page that several share counts once where the system says so."""
    processes: int = 0
    cpu_times: dict[int, tuple[float, float]] = field(default_factory=dict, repr=False)
    """First and last reading of each process: one that has ended keeps what it had used by then."""


class Watch:
    """Samples in a thread from entering to leaving the block. Of `pids`, a name may have several."""

    def __init__(self, pids: Mapping[str, int | Iterable[int]]) -> None:
        self._pids = {name: [given] if isinstance(given, int) else list(given) for name, given in pids.items()}
        self.usage = {name: ProcessUsage() for name in self._pids}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._sample(memory=True, first=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._sample(memory=True)

    def _run(self) -> None:
        number = 0
        while not self._over.wait(INTERVAL):
            number += 1
            self._sample(memory=number % MEMORY_EVERY == 0)

    def _sample(self, *, memory: bool, first: bool = False) -> None:
        for name, pids in self._pids.items():
            usage = self.usage[name]
            family = [process for pid in pids for process in _family(pid)]
            usage.processes = max(usage.processes, len(family))
            for process in family:
                try:
                    times = process.cpu_times()
                except psutil.Error:
                    continue
                now = times.user + times.system
                # A process born during the run has used all of its time in it.
                begin = usage.cpu_times.get(process.pid, (now if first else 0.0, now))[0]
                usage.cpu_times[process.pid] = (begin, now)
            usage.cpu_seconds = sum(last - begin for begin, last in usage.cpu_times.values())
            if memory:
                usage.peak_bytes = max(usage.peak_bytes, sum(map(_bytes, family)))


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _bytes(process: psutil.Process) -> int:
    try:
        full: Any = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
