"""The thread that starts workers, brings their results back, ends what takes too long, and replaces what dies."""

import atexit
import os
import selectors
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing import process as processes
from socket import socketpair
from threading import Event, Thread, current_thread
from time import monotonic

from pool import process, wire
from pool.dispatch import Dispatch
from pool.errors import LoadFailed, PoolClosed, PoolError, WorkerLost
from pool.worker import PoolWorker

FIRST_PAUSE, LAST_PAUSE = 0.1, 10.0  # seconds before another start when one failed; doubling
STOP_SECONDS = 1.0  # for an idle process to end by itself


class PoolSupervisor:
    """Sleeps until a worker speaks or dies, somebody rings, or the time of a job is up."""

    def __init__(
        self,
        models: Mapping[str, process.Model],
        workers: int,
        room: int,
        load_timeout: float | None,
        cancel_grace: float | None,
    ) -> None:
        self._models = models
        self._wanted = workers
        self._load_timeout = load_timeout
        self._cancel_grace = cancel_grace
        self._workers: set[PoolWorker] = set()
        self._pause = FIRST_PAUSE
        self._next_start = 0.0
        self._closing = self._let_go = self._aborting = False
        self._drained = Event()
        self._owner = os.getpid()
        self._selector = selectors.DefaultSelector()
        self._alarm, self._bell = socketpair()
        self._bell.setblocking(False)
        self._selector.register(self._alarm, selectors.EVENT_READ)
        self._thread = Thread(target=self._run, name="model-pool", daemon=True)
        self.dispatch = Dispatch(workers, room, self._ring)

    def start(self) -> None:
        """Return when every worker has loaded the models; raises LoadFailed, or why none can be started."""
        self._started: Future[None] = Future()
        _running.add(self)
        self._thread.start()
        self._started.result()

    def close(self, timeout: float | None) -> None:
        """Take no more jobs, wait `timeout` seconds for those that were taken, and end every process."""
        if os.getpid() != self._owner or not self._thread.is_alive():
            return
        if current_thread() is self._thread:
            raise RuntimeError("a job's callback cannot close the pool that calls it")
        self._closing = True
        self.dispatch.refuse(PoolClosed("the pool is closed"))
        self._ring()
        try:
            self._drained.wait(timeout)
        finally:
            self._aborting = True
            self._ring()
            self._thread.join()

    def let_go(self) -> None:
        """End when the jobs taken are done: nobody has the pool any more. (No lock here: garbage is found anywhere.)"""
        self._let_go = True
        self._ring()

    def disown(self) -> None:
        """After a fork, in the child: leave the workers to the process whose they are."""
        self.dispatch.disown(PoolClosed("the pool belongs to the process that made it; a forked one needs its own"))
        for worker in self._workers:
            # With the connection open here, a worker would outlive its pool. And when this process exits,
            # multiprocessing would end, or wait for, children that are not its own: its exit function takes all in this
            # set (https://github.com/python/cpython/issues/114220), from which no public method takes one out.
            worker.connection.close()
            processes._children.discard(worker.process)  # type: ignore[attr-defined]

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in tuple(self._workers) if worker.ready]

    def _ring(self) -> None:
        with suppress(OSError):  # it rings already, or nobody is there any more
            self._bell.send(b"\0")

    def _run(self) -> None:
        try:
            self._supervise()
        finally:  # also when that failed: nobody shall wait for a thread that is gone
            self._stop()

    def _supervise(self) -> None:
        while not self._aborting:
            is_ending = self._closing or self._let_go
            if is_ending and not self.dispatch.waiting and not any(worker.jobs for worker in self._workers):
                self._drained.set()
                if self._let_go:
                    return
            self._start_workers()
            for key, _ in self._selector.select(self._patience()):
                if key.data is None:
                    self._alarm.recv(4096)
                    self.dispatch.feed()
                elif key.data in self._workers:  # and not buried a moment ago
                    self._hear(key.data, is_dead=key.fd == key.data.death)
            for worker in tuple(self._workers):
                self._hold_to_limits(worker)

    def _start_workers(self) -> None:
        while len(self._workers) < self._wanted and monotonic() >= self._next_start and not self._aborting:
            try:
                worker = PoolWorker(self._models)
            except Exception as error:  # no memory, no process left; or `load` cannot be pickled
                self._not_loaded(error)
                return
            self._workers.add(worker)
            self._selector.register(worker.connection, selectors.EVENT_READ, worker)
            self._selector.register(worker.death, selectors.EVENT_READ, worker)

    def _hear(self, worker: PoolWorker, is_dead: bool) -> None:
        """Read a message; from a worker that died, all that it said before."""
        try:
            if not is_dead:
                self._read(worker)
                return
            while worker.connection.poll():
                self._read(worker)
        except (EOFError, OSError):
            worker.process.kill()  # if it still lives, it has closed its connection
            with suppress(KeyError):
                self._selector.unregister(worker.connection)
        if is_dead:
            self._bury(worker)

    def _read(self, worker: PoolWorker) -> None:
        kind, parcels = wire.receive(worker.connection)
        if kind == process.READY:
            self._loaded(worker)
        elif kind == process.NOT_LOADED:
            worker.verdict = LoadFailed("a model did not load")
            worker.verdict.__cause__ = process.reported(parcels[0])
        else:
            self.dispatch.answered(worker).end(kind, parcels[0])

    def _loaded(self, worker: PoolWorker) -> None:
        worker.ready = True
        self._pause = FIRST_PAUSE
        if not self._closing:
            self.dispatch.refuse(None)
        self.dispatch.feed(worker)
        if not self._started.done() and sum(worker.ready for worker in self._workers) == self._wanted:
            self._started.set_result(None)

    def _not_loaded(self, error: Exception) -> None:
        """Try again after a pause; without any worker, let nobody wait for that."""
        self._next_start = monotonic() + self._pause
        self._pause = min(2 * self._pause, LAST_PAUSE)
        if not self._started.done():
            self._started.set_exception(error)
            self._aborting = True
        elif not self._workers:
            reason = error if isinstance(error, PoolError) else PoolError(f"no worker can be started: {error!r}")
            if not self._closing:
                self.dispatch.refuse(reason)
            self.dispatch.fail_all(reason)

    def _bury(self, worker: PoolWorker) -> None:
        self._workers.remove(worker)
        for descriptor in (worker.connection, worker.death):
            with suppress(KeyError):
                self._selector.unregister(descriptor)
        job = self.dispatch.bury(worker)
        end = worker.close()
        if job and worker.verdict:
            job.fail(worker.verdict)
        elif job and job.retry and not job.done():
            self.dispatch.again(job)
        elif job:
            job.fail(WorkerLost(f"the process that ran the job {end}"))
        if not worker.ready:
            self._not_loaded(worker.verdict or LoadFailed(f"a process {end} while it loaded the models"))
        self.dispatch.feed()

    def _patience(self) -> float | None:
        """How long to sleep: until the first time that is up."""
        times = [time for worker in self._workers for time, _ in worker.limits(self._load_timeout, self._cancel_grace)]
        if len(self._workers) < self._wanted:
            times.append(self._next_start)
        return max(0.0, min(times) - monotonic()) if times else None

    def _hold_to_limits(self, worker: PoolWorker) -> None:
        for time, verdict in list(worker.limits(self._load_timeout, self._cancel_grace)):
            if time > monotonic():
                continue
            if verdict is None:
                self.dispatch.take_back(worker)
            else:
                worker.end(verdict)

    def _stop(self) -> None:
        reason = PoolClosed("the pool was closed before the job was done")
        self.dispatch.refuse(reason)
        self.dispatch.fail_all(reason)
        for worker in self._workers:
            if worker.jobs or not worker.ready:
                worker.end(reason)
            else:
                worker.send(process.STOP, [])
        patience = monotonic() + STOP_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, patience - monotonic()))
            worker.process.kill()
            if job := self.dispatch.bury(worker):
                job.fail(reason)
            worker.close()
        self._workers.clear()
        if not self._started.done():
            self._started.set_exception(reason)
        self._drained.set()
        self._selector.close()
        self._alarm.close()
        self._bell.close()
        _running.discard(self)


def _close_all() -> None:
    for supervisor in tuple(_running):
        supervisor.close(timeout=0)


def _disown_all() -> None:
    while _running:
        _running.pop().disown()


# Before multiprocessing's own, which would wait for the processes: what is registered last runs first.
_running: set[PoolSupervisor] = set()
atexit.register(_close_all)
os.register_at_fork(after_in_child=_disown_all)
