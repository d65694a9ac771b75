"""Which job goes to which worker, and when."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from time import monotonic

from pool import process
from pool.errors import PoolError
from pool.job import Job
from pool.waiting import WaitingJobs
from pool.worker import PoolWorker

# Short jobs that wait are sent several to a message: no more than half of each worker's share of them, and at most
BATCH_JOBS = 64
BATCH_SECONDS = 0.002  # by what jobs of their model have taken lately
BATCH_BYTES = 64 * 1024  # a message is written whole before its reader begins: see wire.LARGE
NEWEST = 0.2  # weight of the newest job in how long jobs of its model take


class Dispatch:
    """Where every job is: it waits, or is with a worker. No worker is idle while a job waits.

    Callers' threads and the supervisor's meet here. Messages are sent outside the lock: a worker that was handed a
    job is nobody else's until it has answered.
    """

    def __init__(self, workers: int, room: int, wake: Callable[[], None]) -> None:
        self._lock = Lock()
        self._workers = workers
        self._waiting = WaitingJobs(room)
        self._idle: list[PoolWorker] = []
        self._seconds: dict[str, float] = {}
        self._refusal: PoolError | None = None
        self._wake = wake

    def offer(self, job: Job) -> Future[None] | None:
        """Take the job; without room for it, return the future of its place."""
        with self._lock:
            if self._refusal:
                raise self._refusal.with_traceback(None)  # or each raise would make its traceback longer
            # Large arrays are left to the supervisor: to copy them is nothing for an event loop.
            worker = self._idle.pop() if self._idle and not job.call.buffers else None
            if worker:
                worker.assign([job])
                place = None
            else:
                place = self._waiting.add(job)
            wake = job.timeout is not None if worker else bool(self._idle)
        if worker:
            worker.send(process.SCORE, [job])
        if wake:
            self._wake()
        return place

    def withdraw(self, job: Job) -> None:
        """Let go of a job that was cancelled; one that a worker has is looked after by the supervisor."""
        with self._lock:
            if job.cancelled_at is not None:
                return
            job.cancelled_at = monotonic()
            job.set_running_or_notify_cancel()  # tells those in concurrent.futures.wait()
            gone = self._waiting.remove(job)
        if not gone:
            self._wake()

    def refuse(self, reason: PoolError | None) -> None:
        """Take no more jobs, or (None) take them again."""
        with self._lock:
            self._refusal = reason
            if reason:
                self._waiting.turn_away(reason)

    def fail_all(self, reason: PoolError) -> None:
        """Fail every job that waits."""
        with self._lock:
            jobs = self._waiting.clear()
        for job in jobs:
            own = type(reason)(*reason.args)  # an error that is raised in several places gathers all their tracebacks
            own.__cause__ = reason.__cause__
            job.fail(own)

    def feed(self, worker: PoolWorker | None = None) -> None:
        """Hand jobs that wait to workers that are idle, such as this one."""
        with self._lock:
            if worker:
                self._idle.append(worker)
        while True:
            with self._lock:
                if not self._idle or not len(self._waiting):
                    return
                worker, jobs = self._idle.pop(), self._next()
                worker.assign(jobs)
            worker.send(process.SCORE, jobs)

    def answered(self, worker: PoolWorker) -> Job:
        """Return the job that the worker has answered, and give it others if it has no more."""
        took = -worker.since
        with self._lock:
            job = worker.answered()
            took += worker.since
            if job.calls == 1:
                usual = self._seconds.setdefault(job.model, took)
                self._seconds[job.model] = usual + NEWEST * (min(took, BATCH_SECONDS) - usual)
        if not worker.jobs:
            self.feed(worker)
        return job

    def take_back(self, worker: PoolWorker) -> None:
        """Give the jobs that this worker has not started to others."""
        with self._lock:
            self._waiting.put_back(worker.take_back())
        self.feed()

    def bury(self, worker: PoolWorker) -> Job | None:
        """Take back what the dead worker had not started; return the job that it had."""
        with self._lock:
            if worker in self._idle:
                self._idle.remove(worker)
            job, others = worker.abandon()
            self._waiting.put_back(others)
            return job

    def again(self, job: Job) -> None:
        with self._lock:
            job.is_running, job.retry = False, False
            self._waiting.put_back([job])

    def disown(self, reason: PoolError) -> None:
        """After a fork, in the child: forget the workers. Another thread may have held the lock."""
        self._lock = Lock()
        self._refusal = reason
        self._idle.clear()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def _next(self) -> list[Job]:
        share = len(self._waiting) // (2 * self._workers)
        seconds = size = 0.0

        def fits(job: Job) -> bool:
            nonlocal seconds, size
            seconds += self._seconds.get(job.model, BATCH_SECONDS) * job.calls
            size += job.call.size
            return seconds <= BATCH_SECONDS and size <= BATCH_BYTES

        return self._waiting.take(min(BATCH_JOBS, max(1, share)), fits)
