"""Scores the tasks of one chunk: claim → predict → finish, within the model's time limit and the worker's shutdown."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from uuid import UUID

import numpy as np
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

from registry.versions import predictions_of
from serving.contract import ModelAway, Spec, Values
from store import transitions
from store.claims import Claim, ClaimedTask
from store.copying import copy
from store.engine import WatchedEngine
from telemetry.tracing import span
from worker.scoring.interruption import GracePeriodOver, TimeLimitExceeded, interruptible, time_limit
from worker.scoring.live_models import VersionChoice
from worker.scoring.loaded_models import ModelInstance
from worker.scoring.metrics import ScoringMetrics
from worker.scoring.prediction import ChunkPrediction, FailedTask, PredictedTasks, predict
from worker.scoring.score_cache import ScoreCache

log = structlog.get_logger(__name__)

NOW = timedelta(0)

WAIT_FOR_NEWER = timedelta(hours=1)
"""How long after its submission a task waits for a worker of the release that stored it: an upgrade takes minutes."""

WAIT_FOR_MODEL = timedelta(hours=24)
"""How long after its submission a task waits for what predicts for its model, where that is a container or a server."""


@dataclass(frozen=True, slots=True)
class EndedTasks:
    """The tasks of a chunk that have ended, and at most how many of them as FAILURE."""

    tasks: Sequence[ClaimedTask] = ()
    failed: int = 0

    @property
    def task_ids(self) -> list[UUID]:
        return [task.claim.task_id for task in self.tasks]


retrying_outages = retry(
    retry=retry_if_exception_type((OperationalError, InterfaceError)),  # PostgreSQL is away; a deadlock's victim
    wait=wait_random_exponential(multiplier=0.1, max=5),
    stop=stop_after_delay(60),  # then the worker gives up the message, and rescue brings its tasks back
    reraise=True,
)


def score(
    engine: WatchedEngine,
    loaded: ModelInstance,
    task_ids: Sequence[UUID],
    lease: timedelta,
    renewing: Callable[[Sequence[Claim]], AbstractContextManager[None]],
    cache: ScoreCache | None = None,
    metrics: ScoringMetrics | None = None,
    choose: Callable[[Sequence[ClaimedTask]], VersionChoice] | None = None,
    announce: Callable[[Collection[UUID]], None] | None = None,
) -> EndedTasks:
    """Score the tasks that still wait, store their predictions, announce and return the tasks that ended.

    `renewing` renews the leases meanwhile. `choose` gives the version that can score the tasks, which may not be the
    one that is loaded now. Raises SQLAlchemy's OperationalError when PostgreSQL stays away.
    """
    start = perf_counter()
    with span("claim"):
        tasks = _claim(engine, loaded.spec, task_ids, lease)
    if not tasks:
        return EndedTasks()
    if metrics:
        metrics.claimed(loaded.spec.name, tasks)
    held = [task.claim for task in tasks]
    with renewing(held), interruptible():
        try:
            if choose is not None:
                choice = choose(tasks)
                _settle(engine, choice)
                if choice.instance is None:
                    return EndedTasks()
                loaded, tasks = choice.instance, choice.tasks
            try:
                prediction = _predict(loaded, tasks, cache)
            except ModelAway as away:
                _defer(engine, [task.claim for task in tasks], str(away), WAIT_FOR_MODEL)
                return EndedTasks()
            if prediction is None:
                _release(engine, held)
                return EndedTasks()
            with span("finish"):  # outside the time limit: it may have to wait for PostgreSQL
                ids = _finish(engine, loaded, prediction)
        except GracePeriodOver:  # a task that is finished by then is no longer held, and stays as it is
            _give_back(engine, held)
            return EndedTasks()
    if announce is not None:
        announce(ids)  # before anything else: somebody may wait
    ended = [task for task in tasks if task.claim.task_id in ids]
    seconds = perf_counter() - start
    if metrics:
        metrics.finished(loaded, prediction, ids, seconds)
    log.info(
        "chunk_scored",
        model=loaded.spec.name,
        tasks=sum(len(part.tasks) for part in prediction.predicted),
        failed=len(prediction.failed),
        inputs=sum(task.n_inputs for task in tasks),
        discarded=len(tasks) - len(ended),
        seconds=round(seconds, 4),
        task_ids=[str(task.claim.task_id) for task in ended],
    )
    return EndedTasks(ended, failed=len(prediction.failed) + len(prediction.unreadable))


@retrying_outages
def _claim(engine: WatchedEngine, spec: Spec, task_ids: Sequence[UUID], lease: timedelta) -> list[ClaimedTask]:
    with engine.begin(single=True) as connection:
        return transitions.claim(connection, spec.name, task_ids, lease, max_inputs=spec.max_chunk)


def _settle(engine: WatchedEngine, choice: VersionChoice) -> None:
    """Give back the tasks that another version is to score, and defer those that none here can."""
    if choice.others:
        _give_back(engine, [task.claim for task in choice.others])
    for reason, tasks in choice.refused.items():
        _defer(engine, [task.claim for task in tasks], reason, WAIT_FOR_NEWER)


def _predict(loaded: ModelInstance, tasks: Sequence[ClaimedTask], cache: ScoreCache | None) -> ChunkPrediction | None:
    """Return None where several tasks take too long, so that nobody knows which of them is to blame."""
    seconds = loaded.spec.time_limit
    if (ready := getattr(loaded.predictor, "ready", None)) is not None:
        ready()  # a model that has to be started anew loads outside of its tasks' time limit
    try:
        with span("predict"), time_limit(seconds):
            return predict(loaded, tasks, cache)
    except TimeLimitExceeded:
        if len(tasks) > 1:
            return None
        return ChunkPrediction(failed=[FailedTask(tasks[0], "time_limit", f"scoring took longer than {seconds} s")])


@retrying_outages
def _finish(engine: WatchedEngine, loaded: ModelInstance, prediction: ChunkPrediction) -> set[UUID]:
    """Store everything in one transaction, for the tasks that are still ours, and return their ids."""
    is_all = len(prediction.predicted) == 1 and not (prediction.failed or prediction.unreadable)
    with engine.begin() as connection:
        predicted = [task.claim for part in prediction.predicted for task in part.tasks]
        ended = transitions.finish(connection, predicted, loaded.version)
        for part in prediction.predicted:
            _store(connection, loaded, part.only(ended), commit=is_all)
        for task in prediction.failed:
            ended |= transitions.fail(
                connection, [task.claim], loaded.version, task.reason, [fault._asdict() for fault in task.faults]
            )
        for task in prediction.unreadable:
            ended |= transitions.defer(connection, [task.claim], WAIT_FOR_NEWER, task.reason)
    return ended


def _store(connection: Connection, loaded: ModelInstance, predicted: PredictedTasks, *, commit: bool) -> None:
    if not predicted.tasks:
        return
    counts = np.array([task.n_inputs for task in predicted.tasks])
    ids = np.frombuffer(b"".join(task.claim.task_id.bytes for task in predicted.tasks), "V16")
    before = np.cumsum(counts) - counts
    columns: dict[str, Values] = {
        "task_id": np.repeat(ids, counts),
        "position": np.arange(counts.sum()) - np.repeat(before, counts),
        **{column.name: predicted.columns[column.name] for column in loaded.spec.stored_columns},
        "model_version": [loaded.version] * int(counts.sum()),
    }
    copy(connection, predictions_of(loaded.spec), columns, commit=commit)


@retrying_outages
def _give_back(engine: WatchedEngine, held: Sequence[Claim]) -> None:
    with engine.begin() as connection:
        transitions.give_back(connection, held)
    log.info("chunk_given_back", task_ids=[str(claim.task_id) for claim in held])


@retrying_outages
def _defer(engine: WatchedEngine, held: Sequence[Claim], reason: str, patience: timedelta) -> None:
    with engine.begin() as connection:
        transitions.defer(connection, held, patience, reason)
    log.error("chunk_deferred", reason=reason, task_ids=[str(claim.task_id) for claim in held])


@retrying_outages
def _release(engine: WatchedEngine, held: Sequence[Claim]) -> None:
    """End the leases at once: rescue publishes the tasks again, each alone."""
    with engine.begin() as connection:
        transitions.renew(connection, held, NOW, waits=True)
