"""Predicts a chunk's tasks in as few batches as possible, and finds the one task that cannot be predicted."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, compress
from typing import Any
from uuid import UUID

import numpy as np
import structlog

from serving import wire
from serving.contract import CACHED, BadInput, Columns, Fault, ModelAway, Spec, Values
from store.claims import Claim, ClaimedTask
from worker.metrics import Cause
from worker.scoring.loaded_models import ModelInstance
from worker.scoring.output_validation import WrongOutputs, as_list, predict_checked
from worker.scoring.score_cache import ScoreCache

log = structlog.get_logger(__name__)

MAX_REASON = 2_000
"""Characters of a reason that a person would still read."""

MAX_FAULTS = 100
"""Faults that are stored of one task: as many as the handler lists when it refuses a body."""


@dataclass(frozen=True)
class PredictedTasks:
    """Tasks of one prediction, and the columns to store: the inputs of one task after those of another."""

    tasks: Sequence[ClaimedTask]
    columns: Columns

    def only(self, task_ids: Set[UUID]) -> "PredictedTasks":
        """Return those of these tasks, without the inputs of the others."""
        kept = [task.claim.task_id in task_ids for task in self.tasks]
        if all(kept):
            return self
        rows = np.repeat(kept, [task.n_inputs for task in self.tasks])
        columns: dict[str, Values] = {
            name: values[rows] if isinstance(values, np.ndarray) else list(compress(values, rows))
            for name, values in self.columns.items()
        }
        return PredictedTasks(list(compress(self.tasks, kept)), columns)


@dataclass(frozen=True)
class FailedTask:
    """A task that could not be predicted, with the reason for a person and, for a program, the faults of its inputs."""

    task: ClaimedTask
    cause: Cause
    reason: str
    faults: Sequence[Fault] = ()

    @property
    def claim(self) -> Claim:
        return self.task.claim


@dataclass
class ChunkPrediction:
    """What predicting a chunk came to: predicted tasks, and failed ones with the reason.

    `unreadable` are tasks whose inputs a newer release stored in a format that this release does not know.
    """

    predicted: list[PredictedTasks] = field(default_factory=list)
    failed: list[FailedTask] = field(default_factory=list)
    unreadable: list[FailedTask] = field(default_factory=list)

    def __add__(self, other: "ChunkPrediction") -> "ChunkPrediction":
        return ChunkPrediction(
            self.predicted + other.predicted, self.failed + other.failed, self.unreadable + other.unreadable
        )


def predict(model: ModelInstance, tasks: Sequence[ClaimedTask], cache: ScoreCache | None = None) -> ChunkPrediction:
    """Predict all tasks. Where inputs are at fault, fail their tasks and predict the others again.

    Where an error names no input, halve the tasks until the bad one stands alone. Raises ModelAway.
    """
    try:
        inputs = wire.unpack(model.spec, (task.payload for task in tasks))
        return ChunkPrediction(predicted=[PredictedTasks(tasks, {**inputs, **_outputs(model, inputs, cache)})])
    except ModelAway:
        raise
    except Exception as error:
        if isinstance(error, BadInput) and (faults := _by_task(model.spec, tasks, error.faults)):
            bad = [_at_fault(model.spec, tasks[number], found) for number, found in faults.items()]
            others = [task for number, task in enumerate(tasks) if number not in faults]
            return ChunkPrediction(failed=bad) + (predict(model, others, cache) if others else ChunkPrediction())
        if len(tasks) > 1:
            half = len(tasks) // 2
            return predict(model, tasks[:half], cache) + predict(model, tasks[half:], cache)
        return _failed(model.spec, tasks[0], error)


def _failed(spec: Spec, task: ClaimedTask, error: Exception) -> ChunkPrediction:
    task_id = str(task.claim.task_id)
    if isinstance(error, wire.UnknownFormat):
        log.error("payload_unread", task_id=task_id, reason=str(error))
        return ChunkPrediction(unreadable=[FailedTask(task, "predict_error", str(error))])
    log.error("predict_failed", task_id=task_id, model=spec.name, exc_info=error)
    cause: Cause = "wrong_outputs" if isinstance(error, WrongOutputs) else "predict_error"
    return ChunkPrediction(failed=[FailedTask(task, cause, _reason(error))])


def _by_task(spec: Spec, tasks: Sequence[ClaimedTask], faults: Sequence[Fault]) -> dict[int, list[Fault]]:
    """Return the faults by the number of their task, with positions in that task; nothing if one is out of range."""
    ends = list(accumulate(task.n_inputs for task in tasks))
    found: dict[int, list[Fault]] = {}
    for fault in faults:
        if not 0 <= fault.position < ends[-1] or fault.field not in spec.input.model_fields:
            return {}
        number = bisect_right(ends, fault.position)
        first = ends[number] - tasks[number].n_inputs
        public = Fault(fault.position - first, spec.public_names[fault.field], _storable(fault.detail))
        found.setdefault(number, []).append(public)
    return found


def _at_fault(spec: Spec, task: ClaimedTask, faults: Sequence[Fault]) -> FailedTask:
    log.warning(
        "bad_input", task_id=str(task.claim.task_id), model=spec.name, first=faults[0].pointer, faults=len(faults)
    )
    stored = faults[:MAX_FAULTS]
    return FailedTask(task, "bad_input", str(BadInput(*stored))[:MAX_REASON], stored)


def _reason(error: Exception) -> str:
    """Describe an unexpected error to a person: its first line, without the addresses of objects."""
    words, *_ = f"{type(error).__name__}: {error}".splitlines()
    return _storable(re.sub(r" at 0x[0-9a-fA-F]+", "", words))


def _storable(words: str) -> str:
    """Return a text that may quote anything in a form that PostgreSQL can store."""
    return words[:MAX_REASON].replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _outputs(model: ModelInstance, inputs: Columns, cache: ScoreCache | None) -> Columns:
    """Return the outputs, from the cache where it has them."""
    if not model.spec.cache:
        return _in_batches(model, inputs)
    cached = cache.get(model, inputs) if cache else [None] * len(next(iter(inputs.values())))
    missing = [position for position, outputs in enumerate(cached) if outputs is None]
    uncached = {name: [values[position] for position in missing] for name, values in inputs.items()}
    with _positions_in(missing):
        fresh = _in_batches(model, uncached)
    names = [column.name for column in model.spec.output_columns]
    rows: list[Sequence[Any]] = list(zip(*(as_list(fresh[name]) for name in names), strict=True))
    if cache and rows:
        cache.put(model, uncached, rows)
    remaining = iter(rows)
    whole = [next(remaining) if outputs is None else outputs for outputs in cached]
    columns = dict(zip(names, map(list, zip(*whole, strict=True)), strict=True)) if whole else {n: [] for n in names}
    return {**columns, CACHED.name: [outputs is not None for outputs in cached]}


def _in_batches(model: ModelInstance, inputs: Columns) -> Columns:
    """Predict the inputs batch by batch. Raises BadInput with the faults of all batches."""
    parts: list[Columns] = []
    faults: list[Fault] = []
    begin = 0
    for batch in batches(model.spec, inputs):
        end = begin + len(next(iter(batch.values())))
        try:
            with _positions_in(range(begin, end)):
                parts.append(predict_checked(model.spec, model.predictor, batch))
        except BadInput as bad:
            faults += bad.faults
        begin = end
    if faults:
        raise BadInput(*faults)
    return parts[0] if len(parts) == 1 else {name: _concatenated([part[name] for part in parts]) for name in parts[0]}


@contextmanager
def _positions_in(places: Sequence[int]) -> Iterator[None]:
    """Let errors name positions in the whole, of which the block looks only at the inputs at these places."""
    try:
        yield
    except BadInput as bad:
        if all(0 <= fault.position < len(places) for fault in bad.faults):
            raise BadInput(*(fault._replace(position=places[fault.position]) for fault in bad.faults)) from bad
        raise ValueError(f"the model named an input that it was not given: {bad}") from bad
    except WrongOutputs as wrong:
        raise wrong.moved(places) from wrong


def batches(spec: Spec, inputs: Columns) -> Iterator[Columns]:
    """Cut the inputs into batches of up to the spec's `max_batch`. An input that exceeds it goes alone."""
    n_inputs = len(next(iter(inputs.values())))
    if n_inputs <= 1 or (spec.input_sizes is None and n_inputs <= spec.max_batch):
        yield inputs
        return
    begin, size = 0, 0
    for position, more in enumerate(spec.input_sizes(inputs) if spec.input_sizes else [1] * n_inputs):
        if position > begin and size + more > spec.max_batch:
            yield {name: values[begin:position] for name, values in inputs.items()}
            begin, size = position, 0
        size += more
    yield {name: values[begin:] for name, values in inputs.items()}


def _concatenated(parts: Sequence[Values]) -> Values:
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return [value for part in parts for value in part]
