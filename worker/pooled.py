"""What the pool's processes run (ENGINE=pool): one kind scores, the attendant does what rescue and webhooks do.

The handler knows these functions by name only, so it imports no model and no runtime.
"""

import asyncio
import atexit
import logging
import os
import queue
import signal
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from prometheus_client import CollectorRegistry

from broker.message import PRIORITIES, Task
from models.catalogue import time_limit
from store.engine import connect
from store.settings import StoreSettings
from telemetry import logs
from worker import folders, webhooks
from worker.meters import Meters
from worker.process import ScoringProcess
from worker.rescue import Rescue
from worker.rounds import Rounds
from worker.settings import RescueSettings, WorkerSettings
from worker.usage import Usage
from worker.watched import WatchedEngine

log = structlog.get_logger(__name__)

GIVE_BACK = signal.SIGUSR1
"""Interrupts a chunk, which is then given back; Celery's soft time limit comes by the same signal."""


class Scorer:
    def __init__(self, counts: Path) -> None:
        self._process = ScoringProcess(WorkerSettings(), StoreSettings(), meters=Meters(counts))
        self._is_scoring = False
        for how in (GIVE_BACK, signal.SIGALRM):
            signal.signal(how, lambda *_: self._interrupt())
        atexit.register(self._process.stop)

    def score(self, model: str, task_ids: Sequence[UUID]) -> list[UUID]:
        with self._interruptible(time_limit(model)):
            return self._process.score(model, task_ids)

    def _interrupt(self) -> None:
        if self._is_scoring:
            self._is_scoring = False  # once: what is being given back must not be interrupted
            raise SoftTimeLimitExceeded

    @contextmanager
    def _interruptible(self, seconds: int) -> Iterator[None]:
        self._is_scoring = True
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            self._is_scoring = False
            signal.setitimer(signal.ITIMER_REAL, 0)


Asked = tuple[list[tuple[list[Task], bool]], list[UUID]]
"""What is to be published (each alone, or not), and who has ended."""


class Round:
    """Rescue's sender here: it notes what is asked of it, for the handler's process has the queue."""

    def __init__(self) -> None:
        self.begin({})

    def begin(self, lengths: Mapping[tuple[str, int], int]) -> None:
        self._lengths = lengths
        self.asked: Asked = ([], [])

    def publish(self, tasks: Iterable[Task], *, alone: bool = False) -> None:
        self.asked[0].append((list(tasks), alone))

    def waiting(self, model: str) -> dict[int, int]:
        return {priority: self._lengths.get((model, priority), 0) for priority in PRIORITIES}

    def announce(self, task_ids: Iterable[UUID]) -> None:
        self.asked[1].extend(task_ids)


class Attendant:
    """Does rescue's rounds when asked, and delivers webhooks all the time, in a thread."""

    def __init__(self, counts: Path) -> None:
        folders.enter(counts)
        self._registry = CollectorRegistry()  # only to be written; the files are read
        self._usage = Usage(self._registry)
        store = StoreSettings()
        engine = WatchedEngine(connect(str(store.database_url)), store.database_timeout_seconds)
        settings = RescueSettings()
        self._round = Round()
        rounds = Rounds(self._registry)
        self._rescue = Rescue(engine, self._round, settings, rounds)
        first = settings.model_copy(update={"republish_after_seconds": 0.0})
        self._first = Rescue(engine, self._round, first, rounds)
        self._heard: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._delivering: webhooks.Deliverer | None = None
        self._thread = threading.Thread(target=self._deliver, name="webhooks", daemon=True)
        self._thread.start()

    def round(self, lengths: Mapping[tuple[str, int], int], is_first: bool) -> Asked:
        """Do one round of rescue.

        The first takes up all that waits, as the queue of an earlier process is gone; what another container's queue
        still holds is then claimed by whoever comes first.
        """
        self._usage.note()
        self._round.begin(lengths)
        (self._first if is_first else self._rescue).turn()
        return self._round.asked

    def hear(self, task_ids: list[str]) -> None:
        self._heard.put(task_ids)

    def stop(self) -> None:
        """Let deliveries under way come to their end, for some seconds."""
        if self._delivering:
            self._loop.call_soon_threadsafe(self._delivering.stop)
            self._thread.join(webhooks.STOP + 1)

    def _deliver(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException:
            log.exception("webhooks_broke")
            os._exit(1)  # the pool starts another attendant

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._delivering = webhooks.deliverer(self._listen, self._registry)
        await self._delivering.run()

    async def _listen(self) -> AsyncIterator[list[str]]:
        yield []
        while True:
            try:
                yield self._heard.get_nowait()
            except queue.Empty:
                await asyncio.sleep(webhooks.GATHER)


def load_scorer(counts: Path) -> Scorer:
    """Load one that counts in this folder."""
    _configure_logs()
    return Scorer(counts)


def score(scorer: Scorer, model: str, task_ids: Sequence[UUID]) -> list[UUID]:
    return scorer.score(model, task_ids)


def load_attendant(counts: Path) -> Attendant:
    _configure_logs()
    return Attendant(counts)


def attend(attendant: Attendant, what: str, *arguments: object) -> object:
    """Have the attendant do one of the things that it does."""
    return getattr(attendant, what)(*arguments)


def _configure_logs() -> None:
    logs.configure(logs.LogSettings())
    logging.getLogger("httpcore").setLevel("INFO")  # it would print whole URLs
