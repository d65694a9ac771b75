"""ONNX models of tables: one tensor of all features, or one a feature; as skl2onnx and torch write them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from runtimes.description import DescribedFeature, Description, FeatureKind, NotSupported, Output
from runtimes.tabular import TabularOptions, numbers, options_of, outputs
from serving import onnx
from serving.artifact import Artifact
from serving.contract import Columns
from serving.external_data import ExternalDataRefused

FILE = "model.onnx"

_TYPES: dict[str, tuple[FeatureKind, Any]] = {
    "tensor(float)": ("number", np.float32),
    "tensor(double)": ("number", np.float64),
    "tensor(int64)": ("whole number", np.int64),
    "tensor(bool)": ("boolean", np.bool_),
    "tensor(string)": ("text", object),
}


def describe(file: Path) -> Description:
    """Return what the model says, and what it gives for one row of zeros. Raises NotSupported."""
    try:
        session = onnx.session(file)
    except ExternalDataRefused as refused:
        raise NotSupported(str(refused)) from None
    inputs = session.get_inputs()
    if unknown := [one.type for one in inputs if one.type not in _TYPES]:
        raise NotSupported(f"it has an input of {unknown[0]}; export it with inputs of float, double, int64 or string")
    if (
        len(inputs) == 1
        and len(inputs[0].shape) == 2
        and isinstance(inputs[0].shape[1], int)
        and inputs[0].shape[1] > 1
    ):
        kind, _ = _TYPES[inputs[0].type]
        features = tuple(DescribedFeature(None, kind) for _ in range(inputs[0].shape[1]))
    elif all(len(one.shape) <= 2 and one.shape[1:] in ([1], []) for one in inputs):
        features = tuple(DescribedFeature(one.name, _TYPES[one.type][0]) for one in inputs)
    else:
        raise NotSupported(
            "its inputs are no table: export it with one input [rows, features], or one a feature [rows, 1]"
        )
    columns = {str(place): ["" if one.kind == "text" else 0] for place, one in enumerate(features)}
    given = session.run(None, _feed(inputs, list(columns.values())))
    return Description(features, _output(given), takes_missing=False, classes=_classes(given))


def _output(given: Sequence[Any]) -> Output:
    if len(given) > 1:
        return "binary" if _classes(given) == ("0", "1") else "classes"
    if np.asarray(given[0]).size != 1:
        raise NotSupported("it gives several numbers a row, and no label: export a classifier with its labels")
    return "value"


def _classes(given: Sequence[Any]) -> tuple[str, ...]:
    """Return the names of the classes, of a classifier that gives labels and probabilities."""
    if len(given) < 2:
        return ()
    if isinstance(given[1], list):  # zipmap: a mapping a row
        return tuple(map(str, given[1][0]))
    if np.asarray(given[0]).dtype.kind not in "iu":
        raise NotSupported("its labels are texts, whose order is not in its outputs: export it with zipmap")
    return tuple(map(str, range(np.asarray(given[1]).shape[1])))


def _feed(inputs: Sequence[Any], columns: Sequence[Any]) -> dict[str, Any]:
    if len(inputs) == 1 and len(columns) > 1:
        rows = np.column_stack([numbers(values) for values in columns])
        return {inputs[0].name: rows.astype(_TYPES[inputs[0].type][1])}
    made = {}
    for one, values in zip(inputs, columns, strict=True):
        kind, dtype = _TYPES[one.type]
        array = np.array(["" if v is None else str(v) for v in values], object) if kind == "text" else numbers(values)
        made[one.name] = array.astype(dtype).reshape((-1, 1) if len(one.shape) == 2 else (-1,))
    return made


class OnnxModel:
    """A loaded session, of one thread."""

    def __init__(self, session: onnxruntime.InferenceSession, options: TabularOptions) -> None:
        self._session = session
        self._options = options

    def predict(self, columns: Columns) -> dict[str, Any]:
        given = self._session.run(
            None, _feed(self._session.get_inputs(), [columns[feature.column] for feature in self._options.features])
        )
        if self._options.output == "value":
            return outputs(np.asarray(given[0]), self._options)
        rows = given[1]
        if isinstance(rows, list):
            rows = [list(row.values()) for row in rows]
        probabilities = np.asarray(rows, dtype=np.float64)
        return outputs(probabilities[:, 1] if self._options.output == "binary" else probabilities, self._options)


def load(found: Artifact) -> OnnxModel:
    return OnnxModel(onnx.session(found.path / FILE), options_of(found.manifest))
