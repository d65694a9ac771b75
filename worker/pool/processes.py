"""What runs in the processes of ENGINE=pool: several score, one does the work of rescue and webhooks.

The handler names these functions only, so that its own process imports no model and no runtime.
"""

import asyncio
import atexit
import logging
import os
import queue
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, generate_latest

from broker.message import ALL_LANES, Lane, QueuedTask
from registry import table_types
from registry.artifacts import ArtifactCache, ArtifactSettings
from registry.versions import ModelVersion, Registry
from rescue.metrics import RescueMetrics
from rescue.rounds import Rescue
from rescue.settings import RescueSettings
from runtimes import code_model
from serving import scratch
from serving.artifact import Artifact
from serving.contract import ModelAway
from store.engine import WatchedEngine, connect
from store.settings import StoreSettings
from telemetry import logs
from webhooks import deliverer
from worker.metrics import MetricsFile
from worker.pool.broker import BACKGROUND_METRICS, SCORING_METRICS, Following, ToSend, Waiting
from worker.scoring.interruption import SHUTDOWN
from worker.scoring.live_models import LiveModels, Unloadable
from worker.scoring.metrics import ScoringMetrics
from worker.scoring.process import ScoringProcess
from worker.scoring.self_test import SelfTests, described
from worker.scoring.wanted import refused, wanted
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

METRICS_INTERVAL = 1.0

VERDICTS = "verdicts"
"""The folder, beside the metrics, in which the processes note which versions they could load."""


def load_scorer(metrics: Path) -> ScoringProcess:
    """Load the models in this process, which counts for Prometheus in this folder."""
    _configure_logs()
    settings = WorkerSettings()
    counted = ScoringMetrics(MetricsFile((metrics / SCORING_METRICS).open("r+b")))
    store = StoreSettings()
    engine = connect(store.database_url, pool_size=1)
    cache = ArtifactCache(ArtifactSettings().model_cache)
    scratch.sweep(code_model.scratch_folder())

    (verdicts := metrics / VERDICTS).mkdir(exist_ok=True)

    def provide(version: ModelVersion, tests: SelfTests) -> Artifact:
        with engine.connect() as connection:
            if why := table_types.misfit(connection, version.model, version.version):
                raise Unloadable(why)
            if not tests.is_due(version) and (why := tests.verdict(version)):
                raise Unloadable(why)
            try:
                found = cache.fetch(connection, version)
            except ModelAway as error:
                tests.refuse(version, described(error), passes=True)
                raise
        if registry.live.get(version.model) is version and (why := tests.once(version, found)):
            raise Unloadable(why)
        return found

    registry = Registry()
    with engine.connect() as connection:
        registry.refresh(connection)
    for version in wanted(registry, settings.chosen).values():
        with suppress(Exception):  # it comes again, and is told, when the version is loaded below
            provide(version, SelfTests(verdicts))
    models = LiveModels(
        registry,
        partial(wanted, chosen=settings.chosen),
        partial(provide, tests=SelfTests(verdicts, "spawn")),
        counted,
        refused(settings.chosen),
    )
    process = ScoringProcess(settings, store, counted, models)
    signal.signal(SHUTDOWN, signal.SIG_IGN)  # but while it scores
    atexit.register(process.stop)
    return process


def score(process: ScoringProcess, model: str, task_ids: Sequence[UUID]) -> list[UUID]:
    return process.score(model, task_ids).task_ids


class Outbox:
    """Rescue's Sender here: it collects what a round sends, as the queue is in the handler's process."""

    def __init__(self) -> None:
        self.open({}, {})

    def open(self, waiting: Waiting, following: Following) -> None:
        self._waiting, self._following = waiting, following
        self.sent = ToSend([], [])

    def publish(self, tasks: Iterable[QueuedTask], *, alone: bool = False) -> dict[tuple[str, Lane], int]:
        self.sent.tasks.append((list(tasks), alone))
        return {}

    def waiting(self, model: str, lanes: Sequence[Lane] = ALL_LANES) -> dict[Lane, int]:
        return {lane: self._waiting.get((model, lane), 0) for lane in lanes}

    def following(self, model: str) -> dict[Lane, tuple[UUID, ...]]:
        return {lane: task_ids for (name, lane), task_ids in self._following.items() if name == model}

    def announce(self, task_ids: Iterable[UUID]) -> None:
        self.sent.ended.extend(task_ids)


class BackgroundProcess:
    """Does a round of rescue when asked, and delivers webhooks all the time, in a thread."""

    def __init__(self, metrics: Path) -> None:
        self._metrics = metrics / BACKGROUND_METRICS
        self._registry = CollectorRegistry()
        store = StoreSettings()
        engine = WatchedEngine(store.database_url, store.database_timeout_seconds)
        settings = RescueSettings()
        self._outbox = Outbox()
        rounds = RescueMetrics(self._registry)
        models = Registry()
        self._rescue = Rescue(engine, self._outbox, settings, rounds, models)
        at_once = settings.model_copy(update={"republish_after_seconds": 0.0})
        self._first_rescue = Rescue(engine, self._outbox, at_once, rounds, models)
        self._ended: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._deliverer: deliverer.Deliverer | None = None
        self._thread = threading.Thread(target=self._deliver, name="webhooks", daemon=True)
        self._thread.start()

    def rescue(self, waiting: Waiting, following: Following, is_first: bool) -> ToSend:
        """Do one round of rescue.

        The first takes up all that waits, as the queue of an earlier process is gone. What another container's queue
        still holds is then claimed by the container that comes first.
        """
        self._outbox.open(waiting, following)
        (self._first_rescue if is_first else self._rescue).turn()
        return self._outbox.sent

    def announce(self, task_ids: list[str]) -> None:
        """Tell the receivers of these tasks' webhooks that they have ended."""
        self._ended.put(task_ids)

    def shut_down(self) -> None:
        """Let deliveries under way come to their end, for some seconds."""
        if self._deliverer:
            self._loop.call_soon_threadsafe(self._deliverer.stop)
            self._thread.join(deliverer.SHUTDOWN_TIMEOUT + 1)

    def _deliver(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException:
            log.exception("webhooks_broke")
            os._exit(1)  # the pool starts another one

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._deliverer = deliverer.deliverer(self._listen, self._registry)
        snapshots = asyncio.create_task(self._write_metrics())
        await self._deliverer.run()
        snapshots.cancel()

    async def _write_metrics(self) -> None:
        """Write the metrics every second, for the handler's process, which Prometheus asks."""
        new = self._metrics.with_suffix(".new")
        while True:
            new.write_bytes(generate_latest(self._registry))
            new.replace(self._metrics)
            await asyncio.sleep(METRICS_INTERVAL)

    async def _listen(self) -> AsyncIterator[list[str]]:
        yield []
        while True:
            try:
                yield self._ended.get_nowait()
            except queue.Empty:
                await asyncio.sleep(deliverer.BUSY_INTERVAL)


def load_background(metrics: Path) -> BackgroundProcess:
    """Connect, and begin to deliver webhooks; the process counts for Prometheus in this folder."""
    _configure_logs()
    return BackgroundProcess(metrics)


def background(process: BackgroundProcess, order: str, *arguments: Any) -> ToSend | None:
    orders: dict[str, Callable[..., ToSend | None]] = {
        "rescue": process.rescue,
        "announce": process.announce,
        "shut down": process.shut_down,
    }
    return orders[order](*arguments)


def _configure_logs() -> None:
    logs.configure(logs.LogSettings())
    logging.getLogger("httpcore").setLevel("INFO")  # it would print whole URLs
