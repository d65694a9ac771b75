"""Scores stored inputs by one version, batch after batch. A run that was ended goes on where it was."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, Row

from registry.versions import ModelVersion, Registry, predictions_of
from serving.contract import Column, ModelAway, Spec
from store import retention, version_scores
from store.version_scores import EVERY, FIRST, VersionScore
from worker.scoring.loaded_models import ModelInstance
from worker.scoring.output_validation import as_list, predict_checked

FIRST_BATCH, LARGEST_BATCH = 100, 5_000
"""Inputs that are read, scored and stored at a time: as many as take about a second."""

REST = 1.0
"""How long it rests after a batch, as a multiple of what that took: live traffic keeps half of a core."""

MAX_ERROR = 500
"""Characters of an error that are kept."""


class NotComparable(Exception):
    """The model gives neither a score nor a label; the message says so."""


@dataclass(frozen=True)
class Chosen:
    """Which stored inputs to score: a condition in SQL on the columns of the model's table, with its values."""

    condition: str = EVERY
    values: Mapping[str, Any] = field(default_factory=dict)
    versions: Sequence[str] | None = None
    """Only inputs that one of these has scored; None: any."""
    most: bool = True
    """Whether most of what is stored may fit the condition."""


@dataclass
class RescoreProgress:
    """How far a run is."""

    scored: int = 0
    failed: int = 0
    """Of these, inputs that the version could not score."""


def kept_label(spec: Spec) -> str | None:
    """Return the output whose labels are kept; None: there is none, or retention would have to empty it here, too."""
    return None if spec.label in spec.personal else spec.label


def kept_in_sql(spec: Spec) -> str:
    """Return a condition on the prediction p: retention has not emptied anything of its input."""
    inputs = {column.name for column in spec.input_columns}
    return retention.kept(predictions_of(spec), [name for name in spec.personal if name in inputs], "p")


def _condition(spec: Spec, chosen: Chosen) -> str:
    """Leave out what retention has emptied of what people wrote or showed."""
    of_versions = [] if chosen.versions is None else ["p.model_version = ANY(:scored_by)"]
    return " AND ".join([f"({chosen.condition})", *of_versions, kept_in_sql(spec)])


def _values(chosen: Chosen) -> dict[str, Any]:
    of_versions = {} if chosen.versions is None else {"scored_by": list(chosen.versions)}
    return {**chosen.values, **of_versions}


def taken_by(registry: Registry, version: ModelVersion) -> list[str]:
    """Return the versions whose inputs this one can score."""
    return [one.version for one in registry.versions_of(version.model) if version.takes_inputs_of(one)]


def waiting(connection: Connection, spec: Spec, version: str, chosen: Chosen) -> int:
    """Return how many inputs `rescore` has before it."""
    condition, values = _condition(spec, chosen), _values(chosen)
    return version_scores.waiting(connection, spec.table, (spec.name, version), condition, values)


def rescore(
    engine: Engine, loaded: ModelInstance, chosen: Chosen, rest: float = REST, *, again: bool = True
) -> Iterator[RescoreProgress]:
    """Score what is chosen and not scored yet by this version; yield after each batch. Raises NotComparable, ModelAway.

    A batch is stored in one transaction, so that a run which was ended goes on where it was. With `again`, inputs on
    which it failed are tried once more.
    """
    spec = loaded.spec
    if spec.score is None and kept_label(spec) is None:
        raise NotComparable(
            f"{spec.name} gives neither a score between 0 and 1 nor a label, so there is nothing to keep"
        )
    version = (spec.name, loaded.version)
    columns = [column.name for column in spec.input_columns]
    progress, after, size = RescoreProgress(), FIRST, FIRST_BATCH
    while True:
        start = time.monotonic()
        with engine.connect() as connection:
            read = (spec.table, columns, version, _condition(spec, chosen), after, size, _values(chosen))
            rows = version_scores.unscored(connection, *read, again=again, most=chosen.most)
        if not rows:
            return
        found = predict(loaded, rows)
        with engine.begin() as connection:
            progress.scored += version_scores.store(connection, spec.table, version, found)
        progress.failed += sum(one.error is not None for one in found)
        after = (rows[-1].task_id, rows[-1].position)
        took = time.monotonic() - start
        yield progress
        size = min(size * 2, LARGEST_BATCH) if took < 1 else max(1, size // 2) if took > 3 else size
        time.sleep(rest * took)


def predict(loaded: ModelInstance, rows: Sequence[Row[Any]]) -> list[VersionScore]:
    """Predict rows of (task_id, position, *inputs). Where that fails, halve them until the bad one stands alone."""
    spec = loaded.spec
    try:
        outputs = predict_checked(spec, loaded.predictor, as_columns(spec, rows))
    except (ModelAway, MemoryError, OSError):
        raise  # they say nothing of the inputs
    except Exception as error:
        if len(rows) > 1:
            half = len(rows) // 2
            return predict(loaded, rows[:half]) + predict(loaded, rows[half:])
        said = type(error).__name__  # what it says may quote what people wrote
        if not spec.personal:
            said = f"{said}: {error}".replace("\x00", "")[:MAX_ERROR]
        return [VersionScore(rows[0].task_id, rows[0].position, None, None, said)]
    nothing = [None] * len(rows)
    named = spec.score, kept_label(spec)
    scores, labels = (as_list(outputs[name]) if name else nothing for name in named)
    return [
        VersionScore(row.task_id, row.position, None if one is None else float(one), guess, None)
        for row, one, guess in zip(rows, scores, labels, strict=True)
    ]


def as_columns(spec: Spec, rows: Sequence[Row[Any]]) -> dict[str, list[Any]]:
    """Return the inputs of rows of (task_id, position, *inputs) as the model takes them."""
    values = zip(*(row[2:] for row in rows), strict=True)
    return {column.name: _decoded(column, given) for column, given in zip(spec.input_columns, values, strict=True)}


def _decoded(column: Column, values: Sequence[Any]) -> list[Any]:
    if column.kind == "bytes":
        return [None if value is None else bytes(value) for value in values]
    return list(values)
