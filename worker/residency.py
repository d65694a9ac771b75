"""The models that a worker process keeps in memory: verified, loaded, checked on golden rows, handed out."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
import structlog

from models import artifact, catalogue, wire
from models.artifact import Artifact
from models.contract import Columns, Model, Spec, Values

log = structlog.get_logger(__name__)


class GoldenRowsDiffer(Exception):
    """The loaded model does not reproduce the outputs that were recorded when it was trained."""


class WrongOutputs(Exception):
    """The model did not give one sound output for each input."""


@dataclass(frozen=True)
class Resident:
    """A model in memory."""

    spec: Spec
    artifact: Artifact
    model: Model
    load_seconds: float = 0

    @property
    def version(self) -> str:
        return self.artifact.version

    @cached_property
    def score(self) -> str | None:
        """The spec's, looked up once."""
        return self.spec.score

    def predict(self, columns: Columns) -> Columns:
        """Score the inputs; raises WrongOutputs where the answer does not fit the spec."""
        outputs = self.model.predict(columns)
        n_inputs = len(next(iter(columns.values())))
        for column in self.spec.output_columns:
            if column.name not in outputs:
                raise WrongOutputs(f"the model gave no {column.name!r}")
            values = outputs[column.name]
            if len(values) != n_inputs:
                raise WrongOutputs(f"the model gave {len(values)} values of {column.name!r} for {n_inputs} inputs")
            if column.kind in ("double", "double[]") and not _finite(values):
                raise WrongOutputs(f"the model gave a {column.name!r} that is not a finite number")
            if column.kind in ("text", "text[]") and not all(_storable(value, column.nullable) for value in values):
                raise WrongOutputs(f"the model gave a {column.name!r} that is no text, or has a NUL in it")
        return outputs


def _finite(values: Values) -> bool:
    if len(values) and isinstance(values[0], list):  # of unequal lengths, perhaps
        return all(math.isfinite(number) for row in values for number in row)
    return bool(np.isfinite(values).all())


def _storable(value: Any, nullable: bool) -> bool:
    if isinstance(value, list):
        return all(_storable(item, False) for item in value)
    return (nullable and value is None) or (isinstance(value, str) and "\0" not in value)


def load(models: Iterable[str]) -> dict[str, Resident]:
    """Load these models.

    Call it after the fork only: OpenMP runtimes that were used in the parent hang in a child.
    """
    return {name: _load(catalogue.specs()[name]) for name in models}


def _load(spec: Spec) -> Resident:
    start = perf_counter()
    found = artifact.current(spec.name)
    artifact.verify(found)
    resident = Resident(spec, found, catalogue.loader(spec.name)(found.path))
    check_golden_rows(resident)  # the first predict also warms the model
    seconds = perf_counter() - start
    log.info("model_loaded", model=spec.name, model_version=found.version, seconds=round(seconds, 3))
    return replace(resident, load_seconds=seconds)


def check_golden_rows(resident: Resident) -> None:
    """Raise GoldenRowsDiffer unless the model gives what it gave when its artifact was made."""
    rows = list(resident.artifact.golden())
    spec = resident.spec
    inputs = wire.columns(spec, wire.decoder(spec).decode(msgspec.json.encode([row["input"] for row in rows])))
    outputs = resident.predict(inputs)
    for number, row in enumerate(rows):
        for name, expected in row["output"].items():
            actual = outputs[name][number]
            if not _same(actual, expected):
                raise GoldenRowsDiffer(
                    f"model {spec.name} {resident.version}, golden row {number + 1}: "
                    f"{name} is {actual}, recorded was {expected}"
                )


def _same(actual: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return len(actual) == len(expected) and all(map(_same, actual, expected))
    if isinstance(expected, float):
        return math.isclose(actual, expected, abs_tol=1e-5)  # another processor may round the last digits otherwise
    return bool(actual == expected)


def versions(residents: Mapping[str, Resident]) -> dict[str, str]:
    return {name: resident.version for name, resident in residents.items()}
