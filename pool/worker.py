"""A worker process as the pool sees it."""

import os
import signal
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from multiprocessing import get_context
from threading import Lock
from time import monotonic

from pool import process, wire
from pool.errors import JobTimeout, LoadFailed, PoolError
from pool.job import Job

HELD_UP = 0.005  # seconds for which one job may hold up others of its message; then those go back to the queue

# A forked worker would inherit the locks of threads that it does not have, and the connections of its siblings;
# several runtimes hang in a fork of a process that has used them.
_SPAWN = get_context("spawn")


class PoolWorker:
    """One process, from its start to its death; it is never started again."""

    def __init__(self, models: Mapping[str, process.Model]) -> None:
        self.connection, end = _SPAWN.Pipe()
        self._starts = _SPAWN.Semaphore(0)
        self._sending = Lock()
        self.jobs: deque[Job] = deque()  # sent and unanswered; the first is running
        self.may_hold_jobs_up = False
        self.since = monotonic()  # when the first job, or the load, began
        self.ready = False
        self.verdict: Exception | None = None  # why the pool ended it
        # Not a daemon: those may have no processes of their own, which `score` may need.
        self.process = _SPAWN.Process(
            target=process.work, args=(end, self._starts, models), name="model-pool-worker", daemon=False
        )
        try:
            self.process.start()
        except BaseException:
            self.connection.close()
            raise
        finally:
            end.close()
        self.pid = self.process.pid or 0
        self.death = _death(self.pid, self.process.sentinel)

    def assign(self, jobs: list[Job]) -> None:
        """Let the worker start these jobs as soon as they are sent."""
        self.since = monotonic()
        self.may_hold_jobs_up = len(jobs) > 1
        for job in jobs:
            job.is_running = True
            self.jobs.append(job)
            self._starts.release()

    def send(self, kind: str, jobs: list[Job]) -> None:
        # A worker that is dead cannot be written to; the supervisor sees it, and what it has not started.
        with self._sending, suppress(OSError):
            wire.send(self.connection, kind, [job.call for job in jobs])

    def answered(self) -> Job:
        self.since = monotonic()
        return self.jobs.popleft()

    def take_back(self) -> list[Job]:
        """Take back the jobs that the worker has not started, but for the first, which it will start."""
        self.may_hold_jobs_up = False
        unstarted = self._unstarted()
        if unstarted == len(self.jobs):
            self._starts.release()
            unstarted -= 1
        return _not_running([self.jobs.pop() for _ in range(unstarted)][::-1])

    def abandon(self) -> tuple[Job | None, list[Job]]:
        """Return the job that the dead worker was at, and those that it never came to."""
        was_at = self.jobs.popleft() if self._unstarted() < len(self.jobs) else None
        others = _not_running(list(self.jobs))
        self.jobs.clear()
        return was_at, others

    def _unstarted(self) -> int:
        count = 0
        while self._starts.acquire(block=False):
            count += 1
        return count

    def limits(
        self, load_timeout: float | None, cancel_grace: float | None
    ) -> Iterator[tuple[float, Exception | None]]:
        """Until when the worker may go on as it does, and why no longer; None: its other jobs go to other workers."""
        if self.verdict:
            return
        if not self.ready:
            if load_timeout is not None:
                yield self.since + load_timeout, LoadFailed(f"the models were not loaded in {load_timeout:g} s")
        elif self.jobs:
            job = self.jobs[0]
            if job.timeout is not None:
                yield self.since + job.timeout, JobTimeout(f"the job ran for more than {job.timeout:g} s")
            if job.cancelled_at is not None and cancel_grace is not None:
                # Of a message with several jobs, one may have been cancelled before it began.
                yield max(job.cancelled_at, self.since) + cancel_grace, PoolError("the job was cancelled")
            if self.may_hold_jobs_up and len(self.jobs) > 1:
                yield self.since + HELD_UP, None

    def end(self, verdict: Exception) -> None:
        self.verdict = verdict
        self.process.kill()

    def close(self) -> str:
        """Let go of the process, which is dead; return how it ended, in words."""
        with self._sending:
            self.connection.close()
        self.process.join()
        if self.death != self.process.sentinel:
            os.close(self.death)
        code = self.process.exitcode or 0
        self.process.close()
        if code >= 0:
            return f"ended with status {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"was killed by {name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")


def _not_running(jobs: list[Job]) -> list[Job]:
    for job in jobs:
        job.is_running = False
    return jobs


def _death(pid: int, sentinel: int) -> int:
    """Open a file descriptor that is readable when the process is dead.

    Multiprocessing's own is a pipe that is not closed while a process forked by the worker has it too.
    """
    if hasattr(os, "pidfd_open"):
        with suppress(OSError):
            return os.pidfd_open(pid)
    return sentinel
