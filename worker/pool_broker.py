"""The broker of ENGINE=pool: chunks wait in this process, and processes beside it score them.

The queue is a convenience, like Redis: PostgreSQL has every task, and a container that starts takes up what waits. What
runs in the processes is worker/pooled.py, given by name: this module is imported by the handler, and light.
"""

import asyncio
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry

from broker.message import PRIORITIES, Task, messages
from models import catalogue
from pool import Model, ModelPool, PoolError
from worker import folders
from worker.settings import RescueSettings, WorkerSettings

log = structlog.get_logger(__name__)

HARD = 5
"""Seconds after its time limit at which a process that could not be interrupted is ended."""

GIVING_BACK = 1.5
"""Seconds for an interrupted chunk to be given back."""

DELIVERING = 4.0
"""Seconds for callbacks under way, which the attendant bounds itself (worker.webhooks.STOP); meanwhile chunks are given
back."""

ROUND = 60.0
"""Seconds that the attendant may take for one thing."""

LOOK = 1.0
"""Seconds between two looks at what other containers may have ended: they cannot tell."""


class PoolBroker:
    def __init__(self, registry: CollectorRegistry) -> None:
        """Return when the models are loaded. What the processes count is in the registry. Raises pool.LoadFailed."""
        self._settings = WorkerSettings()
        self._counts = folders.new()
        folders.AddedUp(self._counts, registry)
        self._lock = threading.Lock()
        self._waiting: dict[int, deque[tuple[str, Sequence[UUID]]]] = {priority: deque() for priority in PRIORITIES}
        self._lengths: Counter[tuple[str, int]] = Counter()
        self._running = 0
        self._stopping = threading.Event()
        self._listeners: set[tuple[asyncio.AbstractEventLoop, asyncio.Queue[list[str]]]] = set()
        load_attendant = partial(_load, "load_attendant", self._counts)
        self._attendant = ModelPool(load_attendant, "worker.pooled:attend", workers=1, timeout=ROUND)
        scorer = Model(partial(_load, "load_scorer", self._counts), "worker.pooled:score")
        try:
            self._scorers = ModelPool(models={"scorer": scorer}, workers=self._settings.worker_concurrency)
        except BaseException:
            self._attendant.close(timeout=0)
            raise
        self._rescuing = threading.Thread(target=self._rescue, name="rescue", daemon=True)
        self._rescuing.start()
        log.info("pool_started", processes=self._settings.worker_concurrency, models=self._settings.models)

    def publish(self, tasks: Iterable[Task], *, alone: bool = False) -> None:
        with self._lock:
            for model, priority, chunk in messages(tasks, catalogue.bounds, alone=alone):
                self._waiting[priority].append((model, chunk))
                self._lengths[model, priority] += 1
        self._feed()

    def waiting(self, model: str) -> dict[int, int]:
        return {priority: self._lengths[model, priority] for priority in PRIORITIES}

    def announce(self, task_ids: Iterable[UUID]) -> None:
        ended = list(map(str, task_ids))
        for loop, heard in tuple(self._listeners):
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(heard.put_nowait, ended)
        with suppress(PoolError):
            self._attend("hear", ended)

    async def listen(self) -> AsyncIterator[list[str]]:
        heard: asyncio.Queue[list[str]] = asyncio.Queue()
        listener = (asyncio.get_running_loop(), heard)
        self._listeners.add(listener)
        try:
            while True:
                try:
                    async with asyncio.timeout(LOOK):
                        while True:
                            yield await heard.get()
                except TimeoutError:
                    yield []
        finally:
            self._listeners.discard(listener)

    def stop(self) -> None:
        """Hand out no more chunks; a chunk that is not scored within the grace is given back."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._ending = threading.Thread(target=self._end, name="end the pool")
            self._ending.start()

    def close(self) -> None:
        """Stop, and return when every process has ended."""
        self.stop()
        self._ending.join()

    def _end(self) -> None:
        until = time.monotonic() + self._settings.pool_grace_seconds
        while self._running and time.monotonic() < until:
            time.sleep(0.02)
        if self._running:
            for process in self._scorers.pids:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGUSR1)  # worker.pooled.GIVE_BACK
        with suppress(PoolError):
            self._attend("stop")
        until = time.monotonic() + DELIVERING
        self._scorers.close(timeout=GIVING_BACK)
        self._attendant.close(timeout=max(0.0, until - time.monotonic()))
        self._rescuing.join()
        folders.remove(self._counts)  # the server may end by a signal, without what is done at an exit

    def _feed(self) -> None:
        """Hand out chunks, the most urgent first, one to each process: what is handed out cannot be overtaken."""
        while True:
            with self._lock:
                priority = next((priority for priority, chunks in self._waiting.items() if chunks), None)
                is_full = self._running >= self._settings.worker_concurrency
                if priority is None or is_full or self._stopping.is_set():
                    return
                model, chunk = self._waiting[priority].popleft()
                self._lengths[model, priority] -= 1
                self._running += 1
            try:
                job = self._scorers.submit(model, chunk, timeout=catalogue.time_limit(model) + HARD)
            except PoolError as error:  # no process can be started at present; rescue publishes its tasks again
                self._lost(model, chunk, error)
            else:
                job.add_done_callback(partial(self._scored, model, chunk))

    def _scored(self, model: str, chunk: Sequence[UUID], job: "Future[list[UUID]]") -> None:
        if error := job.exception():
            self._lost(model, chunk, error)
        else:
            with self._lock:
                self._running -= 1
            if ended := job.result():
                self.announce(ended)
        self._feed()

    def _lost(self, model: str, chunk: Sequence[UUID], error: BaseException) -> None:
        """Say why a chunk came to no end; its leases run out, and rescue brings its tasks back."""
        with self._lock:
            self._running -= 1
        log.error("chunk_lost", model=model, error=str(error), task_ids=[str(task_id) for task_id in chunk])

    def _attend(self, what: str, *arguments: object) -> "Future[Any]":
        return self._attendant.submit(what, *arguments)

    def _rescue(self) -> None:
        is_first = True
        while not self._stopping.is_set():
            try:
                published, ended = self._attend("round", dict(self._lengths), is_first).result()
            except Exception as error:  # PostgreSQL is away, or the attendant was killed: the next round finds it all
                log.warning("rescue_interrupted", error=str(error))
            else:
                is_first = False
                for tasks, alone in published:
                    self.publish(tasks, alone=alone)
                if ended:
                    self.announce(ended)
            self._stopping.wait(RescueSettings().rescue_interval_seconds)


def _load(load: str, counts: Path) -> object:
    """Call a function of worker/pooled.py, in the process that is to be loaded."""
    return resolve_name(f"worker.pooled:{load}")(counts)
