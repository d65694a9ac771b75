"""Measures how soon a new worker scores: what an autoscaler waits for."""

import sys
import time
from collections.abc import Iterator
from signal import SIGTERM

import psutil  # type: ignore[import-untyped]

from bench import executor
from bench.programs import START_SECONDS, NotReady, program
from bench.site import Servers, Site, millrace
from bench.studies import StudyRow


def start(servers: Servers, times: int) -> Iterator[StudyRow]:
    """Yield seconds from the start of a worker's program until a report that waited for it was scored.

    It has the report scorer only. Its files are in the system's cache, as where workers come and go.
    """
    with millrace(servers, "start", WORKER_MODELS="report_scorer") as site:
        worker = psutil.Process(site.pids["worker"])
        worker.send_signal(SIGTERM)
        worker.wait(START_SECONDS)
        for number in range(times):
            yield {"worker": number + 1, "seconds to its first score": round(_first_score(site, servers), 2)}


def _first_score(site: Site, servers: Servers) -> float:
    before, _ = site.stored(1)
    executor.saturate(site.target, "submit", 1, connections=1, seconds=START_SECONDS, requests=1)
    log = servers.folder / "start.log"
    begin = time.monotonic()
    with program([sys.executable, "-m", "worker"], site.environment, log):
        while site.stored(1)[0] == before:
            if time.monotonic() - begin > START_SECONDS:
                raise NotReady(f"the worker has scored nothing:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.01)
        return time.monotonic() - begin
