"""The broker of ENGINE=pool: chunks wait in the handler's process, and processes beside it score them.

The queue may be lost, like Redis: PostgreSQL has every task, and a container that starts takes up what waits. The
processes run worker/pool/processes.py, which this module only names: the handler imports it, so it has to be light.
"""

import asyncio
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from broker.lanes import Turns
from broker.message import ALL_LANES, PRIORITIES, QUEUES, Bounds, Chunk, Lane, QueuedTask, messages
from pool import Model, ModelPool, PoolError
from rescue.settings import RescueSettings
from worker.metrics import MetricsFile, WorkerCollector
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

PROCESSES = "worker.pool.processes"

SCORING_METRICS, BACKGROUND_METRICS = "scoring", "background"
"""Files in which the processes of each kind count for Prometheus."""

HARD_LIMIT_MARGIN = 5
"""Seconds beside the model's time limit until the pool ends a process that could not be interrupted."""

GIVE_BACK_SECONDS = 1.5
"""Until an interrupted chunk is given back."""

WEBHOOKS_SECONDS = 4.0
"""For callbacks under way at a shutdown, while chunks are given back. The background process bounds them itself."""

BACKGROUND_TIMEOUT = 60.0
"""Seconds for one order to the background process."""

POLL_SECONDS = 1.0
"""Between two looks at tasks that another container may have ended: it has no way to announce them here."""

Waiting = dict[tuple[str, Lane], int]
"""How many chunks wait, by model and lane."""

Following = dict[tuple[str, Lane], tuple[UUID, ...]]
"""The tasks of the chunk that is taken next, by model and lane."""


class ToSend(NamedTuple):
    """What a round of rescue sends: tasks to publish, in chunks or each alone, and the tasks that it has ended."""

    tasks: list[tuple[list[QueuedTask], bool]]
    ended: list[UUID]


class SnapshotCollector(Collector):
    """Reads the metrics that another process has written in Prometheus' text format."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def collect(self) -> Iterator[Metric]:
        if self._file.exists():
            yield from text_string_to_metric_families(self._file.read_text(encoding="utf-8"))


class PoolBroker:
    def __init__(self, registry: CollectorRegistry, bounds: Bounds) -> None:
        """Return when the models are loaded. What the processes count is in the registry. Raises pool.LoadFailed."""
        self._settings = WorkerSettings()
        self._bounds = bounds
        self._metrics = TemporaryDirectory(prefix="millrace-metrics-")
        metrics = Path(self._metrics.name)
        file = MetricsFile((metrics / SCORING_METRICS).open("w+b"))
        registry.register(WorkerCollector(file))
        registry.register(SnapshotCollector(metrics / BACKGROUND_METRICS))
        self._lock = threading.Lock()
        self._waiting: dict[Lane, deque[tuple[str, Chunk]]] = {lane: deque() for lane in ALL_LANES}
        self._turns = Turns()
        self._lengths: Counter[tuple[str, Lane]] = Counter()
        self._running = 0
        self._stopping = threading.Event()
        self._listeners: set[tuple[asyncio.AbstractEventLoop, asyncio.Queue[list[str]]]] = set()
        load_background = partial(_load, "load_background", metrics)
        self._background = ModelPool(load_background, f"{PROCESSES}:background", workers=1, timeout=BACKGROUND_TIMEOUT)
        scorer = Model(partial(_load, "load_scorer", metrics), f"{PROCESSES}:score")
        try:
            self._scorers = ModelPool(models={"scorer": scorer}, workers=self._settings.worker_concurrency)
        except BaseException:
            self._background.close(timeout=0)
            raise
        self._rescuing = threading.Thread(target=self._rescue, name="rescue", daemon=True)
        self._rescuing.start()
        log.info("pool_started", processes=self._settings.worker_concurrency, models=self._settings.chosen or "all")

    def publish(self, tasks: Iterable[QueuedTask], *, alone: bool = False) -> dict[tuple[str, Lane], int]:
        with self._lock:
            for model, lane, chunk in messages(tasks, self._bounds, alone=alone):
                self._waiting[lane].append((model, chunk))
                self._lengths[model, lane] += 1
            lengths = dict(self._lengths)
        self._feed()
        return lengths

    def waiting(self, model: str, lanes: Sequence[Lane] = ALL_LANES) -> dict[Lane, int]:
        return {lane: self._lengths[model, lane] for lane in lanes}

    def following(self, model: str) -> dict[Lane, tuple[UUID, ...]]:
        return {lane: task_ids for (name, lane), task_ids in self._following().items() if name == model}

    def _following(self) -> Following:
        with self._lock:
            chunks = [(model, lane, chunk) for lane, q in self._waiting.items() for model, chunk in reversed(q)]
        return {(model, lane): tuple(chunk.task_ids) for model, lane, chunk in chunks}

    def announce(self, task_ids: Iterable[UUID]) -> None:
        ended = list(map(str, task_ids))
        for loop, heard in tuple(self._listeners):
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(heard.put_nowait, ended)
        with suppress(PoolError):
            self._background.submit("announce", ended)

    async def listen(self) -> AsyncIterator[list[str]]:
        heard: asyncio.Queue[list[str]] = asyncio.Queue()
        listener = (asyncio.get_running_loop(), heard)
        self._listeners.add(listener)
        try:
            while True:
                try:
                    async with asyncio.timeout(POLL_SECONDS):
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
                    os.kill(process, signal.SIGUSR1)  # worker.scoring.interruption.SHUTDOWN
        with suppress(PoolError):
            self._background.submit("shut down")
        until = time.monotonic() + WEBHOOKS_SECONDS
        self._scorers.close(timeout=GIVE_BACK_SECONDS)
        self._background.close(timeout=max(0.0, until - time.monotonic()))
        self._rescuing.join()
        self._metrics.cleanup()  # the server may end by a signal, without what is done at an exit

    def _feed(self) -> None:
        """Hand out chunks, the most urgent first, one to each process: what is handed out cannot be overtaken."""
        while True:
            with self._lock:
                lane = self._next_lane()
                is_full = self._running >= self._settings.worker_concurrency
                if lane is None or is_full or self._stopping.is_set():
                    return
                model, (chunk, inputs) = self._waiting[lane].popleft()
                self._turns.taken(QUEUES, lane, min(1, inputs / self._bounds(model)[0]))
                self._lengths[model, lane] -= 1
                self._running += 1
            try:
                job = self._scorers.submit(model, chunk, timeout=self._bounds(model)[1] + HARD_LIMIT_MARGIN)
            except PoolError as error:  # no process can be started at present; rescue publishes its tasks again
                self._lost(model, chunk, error)
            else:
                job.add_done_callback(partial(self._scored, model, chunk))

    def _next_lane(self) -> Lane | None:
        """Return the lane whose turn it is, of the highest priority that has a chunk; its models have one turn."""
        for priority in PRIORITIES:
            for number in self._turns.order(QUEUES, priority):
                if self._waiting[lane := Lane(priority, number)]:
                    return lane
        return None

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

    def _rescue(self) -> None:
        is_first = True
        while not self._stopping.is_set():
            try:
                round_ = self._background.submit("rescue", dict(self._lengths), self._following(), is_first)
                to_send: ToSend = round_.result()
            except Exception as error:  # PostgreSQL is away, or the process was killed: the next round finds it all
                log.warning("rescue_interrupted", error=str(error))
            else:
                is_first = False
                for tasks, alone in to_send.tasks:
                    self.publish(tasks, alone=alone)
                if to_send.ended:
                    self.announce(to_send.ended)
            self._stopping.wait(RescueSettings().rescue_interval_seconds)


def _load(load: str, metrics: Path) -> object:
    """Call a function of worker/pool/processes.py, in the process that is to be loaded."""
    return resolve_name(f"{PROCESSES}:{load}")(metrics)
