"""What should be stored of each input of the stream: computed once more, by the models themselves."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from serving import artifact, catalogue, wire
from tests.faults.stream import Submission, features_of

TOLERANCE = 1.5e-6
"""Scores are rounded to six decimals, and the last of them may depend on what an input was predicted together with."""


class Expected:
    def __init__(self, submissions: Iterable[Submission]) -> None:
        features: defaultdict[str, dict[str, dict[str, object]]] = defaultdict(dict)
        for submission in submissions:
            for input_id in submission.input_ids:
                one = features_of(submission.model, input_id)
                features[submission.model][json.dumps(one)] = one
        self._rows = {model: _rows(model, distinct) for model, distinct in features.items()}

    def fault(self, model: str, input_id: str, stored: Any) -> str | None:
        """Say in what a stored row differs from what is right."""
        right = self._rows[model][json.dumps(features_of(model, input_id))]
        wrong = {name: getattr(stored, name) for name, value in right.items() if differs(getattr(stored, name), value)}
        return None if not wrong else ", ".join(f"{name} {value}, not {right[name]}" for name, value in wrong.items())


def _rows(model: str, features: Mapping[str, dict[str, object]]) -> dict[str, dict[str, Any]]:
    """Return what is to be stored, columns by name, of each of these inputs."""
    spec = catalogue.specs()[model]
    columns = dict(wire.unpack(spec, [json.dumps(list(features.values())).encode()]))
    loaded = catalogue.loader(model)(artifact.current(model).path)
    outputs = {
        name: np.asarray(values).tolist() if isinstance(values, np.ndarray) else values
        for name, values in loaded.predict(columns).items()
    }
    columns.pop(str(spec.key))
    stored = {**columns, **outputs}
    return {
        key: dict(zip(stored, row, strict=True))
        for key, row in zip(features, zip(*stored.values(), strict=True), strict=True)
    }


def differs(one: Any, other: Any, *, exactly: bool = False) -> bool:
    if isinstance(one, memoryview):
        one = bytes(one)
    if isinstance(one, float):
        return bool(abs(one - other) > (0 if exactly else TOLERANCE))
    if isinstance(one, list):
        return len(one) != len(other) or any(differs(a, b, exactly=exactly) for a, b in zip(one, other, strict=True))
    return bool(one != other)
