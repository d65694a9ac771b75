"""What the runtimes of tables share: columns become a matrix, and what a library gives becomes outputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.contract import Columns, Values
from serving.explanation import Contributions

Matrix = NDArray[np.floating[Any]]


class MatrixColumn(msgspec.Struct, frozen=True):
    """A feature: the column that it comes from, and the categories whose codes the model knows."""

    column: str
    categories: tuple[str, ...] | None = None


class TabularOptions(msgspec.Struct, frozen=True):
    """How a model of tables is fed, as the manifest's `options` say. `outputs` are the names of its output columns."""

    features: tuple[MatrixColumn, ...]
    output: str
    outputs: tuple[str, ...]
    classes: tuple[str, ...] = ()


def matrix(columns: Columns, features: Sequence[MatrixColumn], dtype: type[Any]) -> Matrix:
    """Return one row an input, one column a feature, with NaN for what is missing.

    A number beyond the type's range is cut to its largest, which is on the same side of every threshold of a tree:
    XGBoost refuses infinity.
    """
    made = np.empty((len(columns[features[0].column]), len(features)), dtype=dtype)
    largest = np.finfo(dtype).max
    for place, feature in enumerate(features):
        values = columns[feature.column]
        if feature.categories is not None:
            codes = {name: code for code, name in enumerate(feature.categories)}
            made[:, place] = [codes.get(str(value), np.nan) if value is not None else np.nan for value in values]
        else:
            made[:, place] = np.clip(numbers(values), -largest, largest)
    return made


def numbers(values: Values) -> NDArray[np.float64]:
    """Return the values as doubles, NaN for None."""
    return np.asarray(values, dtype=np.float64)  # numpy makes NaN of None


def outputs(given: Matrix, options: TabularOptions) -> dict[str, Any]:
    """Return the output columns from a probability, a value, or a row of probabilities for each input."""
    if options.output != "classes":
        (name,) = options.outputs
        flat = np.asarray(given, dtype=np.float64).reshape(-1)
        return {name: np.clip(flat, 0.0, 1.0) if options.output == "binary" else flat}
    rows = np.clip(np.asarray(given, dtype=np.float64), 0.0, 1.0)
    best_first = np.argsort(-rows, axis=1, kind="stable")
    sorted_rows = np.take_along_axis(rows, best_first, axis=1)
    names = [[options.classes[place] for place in row] for row in best_first.tolist()]
    values = ([row[0] for row in names], sorted_rows[:, 0].copy(), names, sorted_rows.tolist())
    return dict(zip(options.outputs, values, strict=True))


def contributions(given: NDArray[Any], options: TabularOptions, scores: Matrix | None = None) -> Contributions:
    """Return what a library gives for (inputs, features and the base), with classes between the two if there are any.

    Of several classes, `scores` (inputs, classes) say which one each input was given.
    """
    values = np.asarray(given, dtype=np.float64)
    if scores is not None:
        values = values[np.arange(len(values)), np.asarray(scores).argmax(axis=1)]
    columns: dict[str, NDArray[np.float64]] = {}
    for place, feature in enumerate(options.features):
        columns[feature.column] = columns.get(feature.column, 0.0) + values[:, place]
    return Contributions(columns, values[:, -1])


def options_of(manifest: Mapping[str, Any]) -> TabularOptions:
    return msgspec.convert(manifest["options"], TabularOptions)
