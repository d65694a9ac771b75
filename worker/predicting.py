"""Predicts the inputs of several tasks together, and finds the one task that cannot be predicted."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import compress
from typing import Any
from uuid import UUID

import numpy as np
import structlog
from billiard.exceptions import SoftTimeLimitExceeded

from models import wire
from models.contract import CACHED, Columns, Values
from store.claims import ClaimedTask
from worker.cache import Cache
from worker.residency import Resident

log = structlog.get_logger(__name__)

MAX_REASON = 2_000
"""Characters that a person would still read."""


@dataclass(frozen=True)
class Scored:
    """Tasks that were predicted together, and what is to be stored of their inputs, those of one task after another."""

    tasks: Sequence[ClaimedTask]
    columns: Columns

    def only(self, task_ids: Set[UUID]) -> "Scored":
        """Return those of these tasks, without the others' inputs."""
        kept = [task.claim.task_id in task_ids for task in self.tasks]
        if all(kept):
            return self
        rows = np.repeat(kept, [task.n_inputs for task in self.tasks])
        columns: dict[str, Values] = {
            name: values[rows] if isinstance(values, np.ndarray) else list(compress(values, rows))
            for name, values in self.columns.items()
        }
        return Scored(list(compress(self.tasks, kept)), columns)


@dataclass
class Outcome:
    """What became of a chunk's tasks: those that were scored, and those that could not be, with the reason."""

    scored: list[Scored] = field(default_factory=list)
    failed: list[tuple[ClaimedTask, str]] = field(default_factory=list)


def predict(resident: Resident, tasks: Sequence[ClaimedTask], cache: Cache | None = None) -> Outcome:
    """Predict all inputs at once; where that fails, halve until the bad task stands alone."""
    try:
        inputs = wire.unpack(resident.spec, (task.payload for task in tasks))
        return Outcome(scored=[Scored(tasks, {**inputs, **_outputs(resident, inputs, cache)})])
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:
        if len(tasks) == 1:
            log.exception("predict_failed", task_id=str(tasks[0].claim.task_id), model=resident.spec.name)
            return Outcome(failed=[(tasks[0], _reason(error))])
        half = len(tasks) // 2
        first, second = predict(resident, tasks[:half], cache), predict(resident, tasks[half:], cache)
        return Outcome(first.scored + second.scored, first.failed + second.failed)


def _reason(error: Exception) -> str:
    """Return what PostgreSQL can store of an error's words, which may quote anything."""
    words = f"{type(error).__name__}: {error}"[:MAX_REASON]
    return words.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _outputs(resident: Resident, inputs: Columns, cache: Cache | None) -> Columns:
    """Return the outputs, from the cache where it has them."""
    if not resident.spec.cache:
        return _in_batches(resident, inputs)
    cached = cache.read(resident, inputs) if cache else [None] * len(next(iter(inputs.values())))
    missing = [position for position, outputs in enumerate(cached) if outputs is None]
    fresh = _in_batches(resident, {name: [values[p] for p in missing] for name, values in inputs.items()})
    names = [column.name for column in resident.spec.output_columns]
    rows: list[Sequence[Any]] = list(zip(*(_plain(fresh[name]) for name in names), strict=True))
    if cache and rows:
        cache.write(resident, {name: [values[p] for p in missing] for name, values in inputs.items()}, rows)
    remaining = iter(rows)
    whole = [next(remaining) if outputs is None else outputs for outputs in cached]
    columns = dict(zip(names, map(list, zip(*whole, strict=True)), strict=True)) if whole else {n: [] for n in names}
    return {**columns, CACHED.name: [outputs is not None for outputs in cached]}


def _in_batches(resident: Resident, inputs: Columns) -> Columns:
    """Predict as many inputs together as the spec's `max_weight` allows."""
    parts = [resident.predict(batch) for batch in batches(resident, inputs)]
    return parts[0] if len(parts) == 1 else {name: _joined([part[name] for part in parts]) for name in parts[0]}


def batches(resident: Resident, inputs: Columns) -> Iterator[Columns]:
    """Cut the inputs where their weight would pass the bound; one that is heavier by itself goes alone."""
    spec = resident.spec
    n_inputs = len(next(iter(inputs.values())))
    if n_inputs <= 1 or (spec.weigh is None and n_inputs <= spec.max_weight):
        yield inputs
        return
    begin, weight = 0, 0
    for position, more in enumerate(spec.weigh(inputs) if spec.weigh else [1] * n_inputs):
        if position > begin and weight + more > spec.max_weight:
            yield {name: values[begin:position] for name, values in inputs.items()}
            begin, weight = position, 0
        weight += more
    yield {name: values[begin:] for name, values in inputs.items()}


def _joined(parts: Sequence[Values]) -> Values:
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return [value for part in parts for value in part]


def _plain(values: Values) -> Sequence[Any]:
    plain: Sequence[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    return plain
