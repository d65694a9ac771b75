"""What a process that counts for another one takes: CPU and memory."""

import resource
import sys
import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge


class Usage:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._cpu = Counter("millrace_worker_cpu_seconds", "User and system, of its processes", registry=registry)
        self._memory = Gauge(
            "millrace_worker_resident_bytes", "Memory of its processes", multiprocess_mode="livesum", registry=registry
        )
        self._cpu_told = 0.0

    def note(self) -> None:
        cpu = time.process_time()
        self._cpu.inc(cpu - self._cpu_told)
        self._cpu_told = cpu
        self._memory.set(_resident_bytes())


def _resident_bytes() -> int:
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # elsewhere the most that it has ever been
