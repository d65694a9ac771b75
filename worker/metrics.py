"""What worker processes count for Prometheus, in one memory-mapped file: each writes a slot, and one process reads all.

A slot outlives its process. The process that replaces it counts on there, so no count is lost, and the file does not
grow with the processes that come and go. A lock on the slot, which ends with its process, tells whether that lives.
(The Prometheus client's own files have no such lock, and one `observe` takes 7 µs: 256 tasks of a chunk would take
longer to count than to store.)
"""

import fcntl
import mmap
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import accumulate, chain, takewhile
from struct import Struct
from typing import IO, Literal, NamedTuple, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from store.states import FAILURE, SUCCESS

Cause = Literal["predict_error", "wrong_outputs", "bad_input", "time_limit"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
"""The values of the label `cause`: why a task failed."""

SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
TASKS = (1.0, 4.0, 16.0, 64.0, 256.0)
SCORES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Finer at both ends, where most scores lie."""


class HistogramSpec(NamedTuple):
    name: str
    help: str
    bounds: tuple[float, ...]


class CounterSpec(NamedTuple):
    name: str
    help: str
    labels: Mapping[str, str] = {}


HISTOGRAMS = {
    "wait": HistogramSpec("millrace_queue_wait_seconds", "From submission to the first claim", SECONDS),
    "processing": HistogramSpec("millrace_claim_to_finish_seconds", "Of each task", SECONDS),
    "chunk": HistogramSpec("millrace_chunk_tasks", "Tasks of a chunk", TASKS),
    "scores": HistogramSpec("millrace_scores", "What the model gave", SCORES),
}
COUNTERS: dict[str, CounterSpec] = {
    "succeeded": CounterSpec("millrace_tasks_ended", "Tasks by how they ended", {"status": SUCCESS}),
    "failed": CounterSpec("millrace_tasks_ended", "Tasks by how they ended", {"status": FAILURE}),
    "retries": CounterSpec("millrace_task_retries", "Claims after a task's first"),
    "discarded": CounterSpec("millrace_tasks_discarded", "Scored by a worker that no longer held the task"),
    "hits": CounterSpec("millrace_cache_hits", "Inputs whose output came from the score cache"),
    **{cause: CounterSpec("millrace_task_failures", "Failed tasks by cause", {"cause": cause}) for cause in CAUSES},
}
OTHERS = ("predictions", "load_seconds", "ready", "busy", "cpu_seconds", "resident_bytes")
"""The first two by version, the others of the whole process."""

PROCESS = ("", "process")
"""Key of a slot's first row, which counts for the whole process."""

FIELDS: dict[str, int] = {field: len(spec.bounds) + 2 for field, spec in HISTOGRAMS.items()}
FIELDS |= dict.fromkeys((*COUNTERS, *OTHERS), 1)
"""How many numbers each field of a row has."""

_ENDS = dict(zip(FIELDS, accumulate(FIELDS.values()), strict=True))
_KEY = Struct("128s64s")
_ROW_BYTES = _KEY.size + 8 * sum(FIELDS.values())

SLOTS = 2_000
"""More processes than a worker may have. The file is sparse: what nobody has used takes no space."""

ROWS = 128
"""Versions that a process may have at a time. One more takes the row of a version that is no longer loaded."""


class MetricsRow:
    """The numbers of one model version in one process."""

    def __init__(self, memory: memoryview) -> None:
        self._key = memory[: _KEY.size]
        self._numbers = memory[_KEY.size :].cast("d")

    @property
    def key(self) -> tuple[str, str]:
        """Model and version; both empty: the row is unused."""
        model, version = _KEY.unpack(self._key)
        return model.rstrip(b"\0").decode(), version.rstrip(b"\0").decode()

    def use(self, model: str, version: str) -> None:
        """Count for this version from now on, from zero if the row was another's."""
        if self.key != (model, version):
            self._numbers[:] = memoryview(bytes(8 * len(self._numbers))).cast("d")
            self._key[:] = _KEY.pack(model.encode(), version.encode())

    def numbers(self, field: str) -> "memoryview[float]":
        """Return the field's one number; of a histogram, the counts of its buckets, and the sum of the values."""
        return self._numbers[_ENDS[field] - FIELDS[field] : _ENDS[field]]


class MetricsSlot:
    """The rows of one process."""

    def __init__(self, rows: Sequence[MetricsRow]) -> None:
        self._rows = rows

    def row(self, model: str, version: str, loaded: Collection[tuple[str, str]]) -> MetricsRow:
        """Return the version's row, a new one if it has none; `loaded` are the versions that keep theirs."""
        keys = [row.key for row in self.used()]
        if (model, version) in keys:
            return self._rows[keys.index((model, version))]
        free = [number for number, key in enumerate(keys) if number and key not in loaded]  # the first is the process's
        place = len(keys) if len(keys) < ROWS else free[0]
        self._rows[place].use(model, version)
        return self._rows[place]

    def used(self) -> list[MetricsRow]:
        return list(takewhile(lambda row: any(row.key), self._rows))


class MetricsFile:
    def __init__(self, file: IO[bytes]) -> None:
        """Map the file. A fork inherits it."""
        self._file = file  # closing it would unlock the slot
        size = SLOTS * ROWS * _ROW_BYTES
        os.ftruncate(file.fileno(), size)
        self._memory = memoryview(mmap.mmap(file.fileno(), size))

    def claim(self) -> MetricsSlot:
        """Return a slot that is this process's until it ends. It goes on with the counts of the one before."""
        for number in range(SLOTS):
            if self._lock(number):
                return self._slot(number)
        raise RuntimeError(f"more than {SLOTS} processes")

    def used_rows(self) -> tuple[list[MetricsRow], list[list[MetricsRow]]]:
        """Return the used rows of all slots, and those of each slot whose process lives."""
        rows: list[MetricsRow] = []
        living: list[list[MetricsRow]] = []
        for number in range(SLOTS):
            used = self._slot(number).used()
            if not used:
                break
            rows += used
            if self._lock(number):
                self._unlock(number)
            else:
                living.append(used)
        return rows, living

    def _slot(self, number: int) -> MetricsSlot:
        starts = ((number * ROWS + row) * _ROW_BYTES for row in range(ROWS))
        return MetricsSlot([MetricsRow(self._memory[start : start + _ROW_BYTES]) for start in starts])

    def _lock(self, number: int) -> bool:
        """Lock a slot for this process; return False where another process has it."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            return False
        return True

    def _unlock(self, number: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)


class WorkerCollector(Collector):
    """Adds up what living and dead processes have counted."""

    def __init__(self, file: MetricsFile) -> None:
        self._file = file

    def collect(self) -> Iterator[Metric]:
        rows, living = self._file.used_rows()
        of_models = [row for row in rows if row.key != PROCESS]
        models, versions = _grouped(of_models, 1), _grouped(of_models, 2)
        for field, spec in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(spec.name, spec.help, labels=["model"])
            for labels, group in models.items():
                *counts, total = map(sum, zip(*(row.numbers(field) for row in group), strict=True))
                bounds = (*map(str, spec.bounds), "+Inf")
                histogram.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
            yield histogram
        counters: dict[str, CounterMetricFamily] = {}
        for field, counted in COUNTERS.items():
            new = CounterMetricFamily(counted.name, counted.help, labels=["model", *counted.labels])
            counter = counters.setdefault(counted.name, new)
            for labels, group in models.items():
                counter.add_metric([*labels, *counted.labels.values()], _sum(group, field))
        yield from counters.values()
        predictions = CounterMetricFamily("millrace_predictions", "Stored predictions", labels=["model", "version"])
        for labels, group in versions.items():
            predictions.add_metric(labels, _sum(group, "predictions"))
        yield predictions
        yield from _process_metrics(rows, living)


def _process_metrics(rows: Sequence[MetricsRow], living: Sequence[Sequence[MetricsRow]]) -> Iterator[Metric]:
    load = GaugeMetricFamily(
        "millrace_model_load_seconds", "From a model's files to its golden rows", labels=["model", "version"]
    )
    of_models = [row for row in chain.from_iterable(living) if row.key != PROCESS]
    for labels, group in _grouped(of_models, 2).items():
        load.add_metric(labels, max(row.numbers("load_seconds")[0] for row in group))
    yield load
    processes = GaugeMetricFamily("millrace_worker_processes", "Processes of this worker", labels=["state"])
    for state in ("ready", "busy"):
        processes.add_metric([state], sum(_sum(slot, state) for slot in living))
    yield processes
    resident_bytes = sum(_sum(slot, "resident_bytes") for slot in living)
    yield GaugeMetricFamily("millrace_worker_resident_bytes", "Memory of its processes", resident_bytes)
    yield CounterMetricFamily(
        "millrace_worker_cpu_seconds", "User and system, of its processes", _sum(rows, "cpu_seconds")
    )


def _grouped(rows: Sequence[MetricsRow], labels: int) -> dict[tuple[str, ...], list[MetricsRow]]:
    """Group rows by model, or by model and version."""
    found: dict[tuple[str, ...], list[MetricsRow]] = {}
    for row in rows:
        found.setdefault(row.key[:labels], []).append(row)
    return found


def _sum(rows: Sequence[MetricsRow], field: str) -> float:
    return sum(row.numbers(field)[0] for row in rows)
