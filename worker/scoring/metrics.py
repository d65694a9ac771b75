"""What one scoring process counts of itself. `worker.metrics` adds the processes up."""

import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from store.claims import ClaimedTask
from worker.metrics import FIELDS, HISTOGRAMS, PROCESS, MetricsFile, MetricsRow
from worker.scoring.loaded_models import ModelInstance
from worker.scoring.prediction import ChunkPrediction

Numbers = dict[str, NDArray[np.float64]]
"""A row of the file, by its fields."""


class ScoringMetrics:
    def __init__(self, file: MetricsFile) -> None:
        self._file = file
        self._versions: dict[tuple[str, str], Numbers] = {}
        self._models: dict[str, Numbers] = {}
        """The row of each model's version that was loaded last."""
        self._cpu_seconds = 0.0
        self._hits: Counter[str] = Counter()

    def ready(self) -> None:
        """Say that this process is ready. Call it in the process that scores, not before a fork."""
        self._slot = self._file.claim()
        self._process = _numbers(self._slot.row(*PROCESS, loaded=()))
        self._process["ready"][:], self._process["busy"][:] = 1, 0
        self.measure_process()

    def loaded(self, model: ModelInstance, others: Iterable[ModelInstance]) -> None:
        """Say that this process has loaded a version, beside these."""
        keys = {(one.spec.name, one.version) for one in (model, *others)}
        self._versions = {key: row for key, row in self._versions.items() if key in keys}
        row = _numbers(self._slot.row(model.spec.name, model.version, keys))
        row["load_seconds"][:] = model.load_seconds
        self._versions[model.spec.name, model.version] = self._models[model.spec.name] = row

    def measure_process(self) -> int:
        """Note CPU and memory, and return the resident bytes; the heartbeat calls this."""
        cpu_seconds = time.process_time()
        self._process["cpu_seconds"] += cpu_seconds - self._cpu_seconds
        self._cpu_seconds = cpu_seconds
        resident = _resident_bytes()
        self._process["resident_bytes"][:] = resident
        return resident

    @contextmanager
    def busy(self) -> Iterator[None]:
        self._process["busy"][:] = 1
        try:
            yield
        finally:
            self._process["busy"][:] = 0

    def claimed(self, model: str, tasks: Sequence[ClaimedTask]) -> None:
        """Count how long tasks have waited, by the clock of this host and the one that made their ids."""
        first = [task.claim.task_id for task in tasks if task.claim.attempt == 1]
        self._models[model]["retries"] += len(tasks) - len(first)
        if first:
            observe(self._models[model], "wait", np.maximum(0.0, time.time() - submitted(first)))

    def finished(self, model: ModelInstance, prediction: ChunkPrediction, ids: Set[UUID], seconds: float) -> None:
        """Count what became of a chunk; `ids` are the tasks that this worker still held."""
        row = self._versions[model.spec.name, model.version]
        kept = [part.only(ids) for part in prediction.predicted]
        failed = [*prediction.failed, *(task for task in prediction.unreadable if task.claim.task_id in ids)]
        tasks = sum(len(part.tasks) for part in prediction.predicted) + len(failed)
        observe(row, "chunk", np.array([tasks]))
        observe(row, "processing", np.full(tasks, seconds))
        row["predictions"] += sum(task.n_inputs for part in kept for task in part.tasks)
        row["succeeded"] += sum(len(part.tasks) for part in kept)
        row["discarded"] += max(0, tasks - len(ids))
        for task in failed:
            if task.claim.task_id in ids:
                row["failed"] += 1
                row[task.cause] += 1
        if (column := model.spec.score) is not None:
            for part in kept:
                observe(row, "scores", np.asarray(part.columns[column], dtype=np.float64))

    def cached(self, model: str, hits: int) -> None:
        """Note how many hits the score cache has had so far."""
        self._models[model]["hits"] += hits - self._hits[model]
        self._hits[model] = hits


def _numbers(row: MetricsRow) -> Numbers:
    return {field: np.asarray(row.numbers(field)) for field in FIELDS}


def observe(row: Numbers, field: str, values: NDArray[Any]) -> None:
    """Count values in one of the row's histograms."""
    bounds, histogram = HISTOGRAMS[field].bounds, row[field]
    histogram[:-1] += np.bincount(np.searchsorted(bounds, values), minlength=len(bounds) + 1)
    histogram[-1] += values.sum()


def submitted(task_ids: Sequence[UUID]) -> NDArray[np.float64]:
    """Return when the tasks were submitted, in seconds since 1970, as their ids say (UUIDv7: the first 48 bits)."""
    padded = b"".join(b"\0\0" + task_id.bytes[:6] for task_id in task_ids)
    return np.frombuffer(padded, ">u8") / 1000


def _resident_bytes() -> int:
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # elsewhere the most that it has ever been
