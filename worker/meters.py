"""What one process that scores counts of itself, for the process that started it to add up: see `worker.folders`."""

import time
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from models.contract import Spec
from store.claims import ClaimedTask
from worker import folders
from worker.filling import fill
from worker.predicting import Outcome
from worker.residency import Resident, WrongOutputs
from worker.usage import Usage

SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SCORES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Finer at both ends, where most scores lie."""

PREDICT_ERROR, WRONG_OUTPUTS, OUT_OF_TIME = CAUSES = ("predict_error", "wrong_outputs", "time_limit")


@dataclass(frozen=True)
class _Of:
    """The metrics of one model: looking them up by their labels would cost more than counting."""

    wait: Histogram
    processing: Histogram
    chunk: Histogram
    scores: Histogram
    succeeded: Counter
    failed: Counter
    predictions: Counter
    retries: Counter
    discarded: Counter
    hits: Counter


class Meters:
    def __init__(self, folder: Path) -> None:
        """Count in this folder from now on. Make it in the process that counts, not before a fork."""
        folders.enter(folder)
        made = CollectorRegistry()  # only to be written; the files are read
        model = ["model"]
        self._wait = Histogram(
            "millrace_queue_wait_seconds", "From submission to the first claim", model, buckets=SECONDS, registry=made
        )
        self._processing = Histogram(
            "millrace_claim_to_finish_seconds", "Of each task", model, buckets=SECONDS, registry=made
        )
        self._chunk = Histogram(
            "millrace_chunk_tasks", "Tasks scored together", model, buckets=(1, 4, 16, 64, 256), registry=made
        )
        self._scores = Histogram("millrace_scores", "What the model gave", model, buckets=SCORES, registry=made)
        self._ended = Counter("millrace_tasks_ended", "Tasks by how they ended", ["model", "status"], registry=made)
        self._predictions = Counter("millrace_predictions", "Stored", ["model", "version"], registry=made)
        self._failures = Counter("millrace_task_failures", "Failed tasks", ["model", "cause"], registry=made)
        self._retries = Counter("millrace_task_retries", "Claims after a task's first", model, registry=made)
        self._discarded = Counter("millrace_tasks_discarded", "Scored, but no longer ours", model, registry=made)
        self._hits = Counter("millrace_cache_hits", "Inputs whose output was remembered", model, registry=made)
        self._load = Gauge(
            "millrace_model_load_seconds",
            "From its files to the golden rows",
            ["model", "version"],
            multiprocess_mode="livemax",
            registry=made,
        )
        self._processes = Gauge(
            "millrace_worker_processes", "Of this worker", ["state"], multiprocess_mode="livesum", registry=made
        )
        self._usage = Usage(made)
        self._hits_told: Tally[str] = Tally()
        self._of: dict[str, _Of] = {}

    def ready(self, residents: Iterable[Resident]) -> None:
        """Say that this process has these models loaded."""
        for resident in residents:
            name, version = resident.spec.name, resident.version
            self._load.labels(name, version).set(resident.load_seconds)
            for cause in CAUSES:
                self._failures.labels(name, cause)  # shown as 0 from the beginning
            self._of[name] = _Of(
                self._wait.labels(name),
                self._processing.labels(name),
                self._chunk.labels(name),
                self._scores.labels(name),
                self._ended.labels(name, "SUCCESS"),
                self._ended.labels(name, "FAILURE"),
                self._predictions.labels(name, version),
                self._retries.labels(name),
                self._discarded.labels(name),
                self._hits.labels(name),
            )
        self._busy = self._processes.labels("busy")
        self._busy.set(0)
        self._processes.labels("ready").set(1)
        self.live()

    def live(self) -> None:
        """Note CPU and memory; called about once a second."""
        self._usage.note()

    @contextmanager
    def busy(self) -> Iterator[None]:
        self._busy.set(1)
        try:
            yield
        finally:
            self._busy.set(0)

    def claimed(self, model: str, tasks: Sequence[ClaimedTask]) -> None:
        """Count how long tasks have waited, by the clock of this host and the one that made their ids."""
        first = [task.claim.task_id for task in tasks if task.claim.attempt == 1]
        if len(first) < len(tasks):
            self._of[model].retries.inc(len(tasks) - len(first))
        if first:
            fill(self._of[model].wait, np.maximum(0.0, time.time() - submitted(first)))

    def finished(self, resident: Resident, outcome: Outcome, ids: Set[UUID], seconds: float) -> None:
        """Count what became of a chunk; `ids` are the tasks that were still ours."""
        of = self._of[resident.spec.name]
        kept = [scored.only(ids) for scored in outcome.scored]
        claimed = sum(len(scored.tasks) for scored in outcome.scored) + len(outcome.failed)
        of.chunk.observe(claimed)
        fill(of.processing, np.full(claimed, seconds))
        of.predictions.inc(sum(task.n_inputs for scored in kept for task in scored.tasks))
        of.succeeded.inc(sum(len(scored.tasks) for scored in kept))
        if outcome.failed:
            self._fail(resident.spec, [_cause(error) for task, error in outcome.failed if task.claim.task_id in ids])
        if claimed > len(ids):
            of.discarded.inc(claimed - len(ids))
        if (column := resident.score) is not None:
            for scored in kept:
                fill(of.scores, np.asarray(scored.columns[column], dtype=np.float64))

    def out_of_time(self, spec: Spec, failed: int) -> None:
        self._fail(spec, [OUT_OF_TIME] * failed)

    def cached(self, model: str, hits: int) -> None:
        """Note how many hits there have been so far."""
        if hits > self._hits_told[model]:
            self._of[model].hits.inc(hits - self._hits_told[model])
            self._hits_told[model] = hits

    def _fail(self, spec: Spec, causes: Sequence[str]) -> None:
        self._of[spec.name].failed.inc(len(causes))
        for cause, tasks in Tally(causes).items():
            self._failures.labels(spec.name, cause).inc(tasks)


def submitted(task_ids: Sequence[UUID]) -> NDArray[np.float64]:
    """Return when the tasks were submitted, in seconds since 1970, as their ids say (UUIDv7: the first 48 bits)."""
    padded = b"".join(b"\0\0" + task_id.bytes[:6] for task_id in task_ids)
    return np.frombuffer(padded, ">u8") / 1000


def _cause(error: str) -> str:
    """Return a word for why a task failed; the text has the details, and its first word would be a label too many."""
    return WRONG_OUTPUTS if error.startswith(WrongOutputs.__name__) else PREDICT_ERROR
