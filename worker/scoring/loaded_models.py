"""Loads one version of a model into this process, and checks it on its golden rows."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import msgspec

import runtimes
from registry.versions import ModelVersion
from serving import artifact, catalogue, wire
from serving.artifact import Artifact
from serving.contract import Predictor, Spec
from worker.scoring.output_validation import predict_checked

ArtifactLoader = Callable[[Artifact], Predictor]


class GoldenRowsDiffer(Exception):
    """The loaded model does not reproduce the outputs that were recorded when it was trained."""


@dataclass(frozen=True)
class ModelInstance:
    """A version that this process has loaded."""

    spec: Spec
    artifact: Artifact
    predictor: Predictor
    load_seconds: float = 0

    @cached_property
    def version(self) -> str:
        return self.artifact.version


def loader(version: ModelVersion) -> ArtifactLoader:
    """Import what loads the version, and return it. Raises ImportError where its runtime is not installed."""
    if version.schema is None:
        load = catalogue.loader(version.model)
        return lambda found: load(found.path)
    return runtimes.load


def load(version: ModelVersion, found: Artifact) -> ModelInstance:
    """Verify the version's files and load them.

    Call it after the fork only: OpenMP runtimes that were used in the parent hang in a child.
    """
    start = perf_counter()
    artifact.verify(found)
    loaded = ModelInstance(version.spec, found, loader(version)(found))
    check_golden_rows(loaded)  # the first predict also warms the model up
    return replace(loaded, load_seconds=perf_counter() - start)


def check_golden_rows(loaded: ModelInstance) -> None:
    """Raise GoldenRowsDiffer unless the model gives what it gave when its artifact was made."""
    rows = list(loaded.artifact.golden())
    spec = loaded.spec
    inputs = wire.columns(spec, wire.decoder(spec).decode(msgspec.json.encode([row["input"] for row in rows])))
    outputs = predict_checked(spec, loaded.predictor, inputs)
    for number, row in enumerate(rows):
        for name, recorded in row["output"].items():
            actual = outputs[name][number]
            if not _same(actual, recorded):
                raise GoldenRowsDiffer(
                    f"model {spec.name} {loaded.version}, golden row {number + 1}: "
                    f"{name} is {actual}, the artifact recorded {recorded}"
                )


def _same(actual: Any, recorded: Any) -> bool:
    if isinstance(recorded, list):
        return len(actual) == len(recorded) and all(map(_same, actual, recorded))
    if isinstance(recorded, float):
        return math.isclose(actual, recorded, abs_tol=1e-5)  # another processor may round the last digits otherwise
    return bool(actual == recorded)
