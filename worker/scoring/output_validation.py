"""Checks all that a model answers against its spec before any of it is stored, and cache entries too.

The spec's pydantic model is the authority. numpy compares arrays of numbers, the hot path, with its bounds. Where that
finds a fault, and for all other values, pydantic decides and says why.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from serving.contract import Columns, Kind, Predictor, Spec, Values
from worker.scoring.output_checks import OutputCheck, checks_of

SHOWN = 80
"""Characters of a wrong value that are quoted."""

_TYPES: dict[Kind, tuple[frozenset[type[Any]], str]] = {
    "text": (frozenset({str}), "a text"),
    "integer": (frozenset({int}), "a whole number"),
    "bigint": (frozenset({int}), "a whole number"),
    "double": (frozenset({float, int}), "a number"),
    "boolean": (frozenset({bool}), "true or false"),
    "bytes": (frozenset({bytes}), "bytes"),
    "timestamp": (frozenset({datetime}), "a time"),
    "text[]": (frozenset({list}), "a list of texts"),
    "double[]": (frozenset({list}), "a list of numbers"),
}
_USUAL = frozenset({float, str})


class WrongOutputs(Exception):
    """The model did not give one valid output for each input."""

    def __init__(self, fault: str, column: str = "", position: int | None = None) -> None:
        super().__init__(fault if position is None else f"{column} at position {position} {fault}")
        self._fault, self._column, self._position = fault, column, position

    def moved(self, places: Sequence[int]) -> "WrongOutputs":
        """Return the same fault at its position in the whole, of which this was the part at these places."""
        return self if self._position is None else WrongOutputs(self._fault, self._column, places[self._position])


def predict_checked(spec: Spec, predictor: Predictor, inputs: Columns) -> Columns:
    """Predict a batch and check the answer. Raises BadInput, and WrongOutputs where the answer breaks the spec."""
    return checked(spec, predictor.predict(inputs), len(next(iter(inputs.values()))))


def checked(spec: Spec, outputs: Any, n_inputs: int) -> dict[str, Values]:
    """Return the outputs as they are to be stored, one valid value an input. Raises WrongOutputs."""
    checks = checks_of(spec)
    if not hasattr(outputs, "keys"):  # a data frame will do
        raise WrongOutputs(f"the model gave a {type(outputs).__name__}, not one column a field of its spec's output")
    if missing := checks.keys() - outputs.keys():
        raise WrongOutputs(f"the model gave no {', '.join(map(repr, sorted(missing)))}")
    if unknown := sorted(map(str, set(outputs.keys()) - checks.keys())):
        raise WrongOutputs(f"the model gave {_quoted(', '.join(unknown))}, which its spec's output does not have")
    return {name: _checked(check, outputs[name], n_inputs) for name, check in checks.items()}


def valid_rows(spec: Spec, rows: Sequence[Any]) -> list[Sequence[Any] | None]:
    """Return rows of outputs, in the order of the spec's fields, with None for each that fails a check."""
    names = list(checks_of(spec))
    whole = [position for position, row in enumerate(rows) if isinstance(row, list) and len(row) == len(names)]
    kept: list[Sequence[Any] | None] = [None] * len(rows)
    if not whole:
        return kept
    columns = dict(zip(names, map(list, zip(*(rows[position] for position in whole), strict=True)), strict=True))
    try:
        found = checked(spec, columns, len(whole))
    except WrongOutputs:
        if len(whole) == 1:
            return kept
        return [valid_rows(spec, [row])[0] for row in rows]
    for position, row in zip(whole, zip(*map(as_list, found.values()), strict=True), strict=True):
        kept[position] = row
    return kept


def as_list(values: Values) -> Sequence[Any]:
    """Return the values in Python's own types."""
    listed: Sequence[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    return listed


def _checked(check: OutputCheck, values: Any, n_inputs: int) -> Values:
    name = check.column.name
    values = values if isinstance(values, np.ndarray | list) else _listed(name, values)
    n_values = None if isinstance(values, np.ndarray) and not values.ndim else len(values)
    if n_values != n_inputs:
        count = "one value" if n_values is None else f"{n_values} values"
        raise WrongOutputs(f"the model gave {count} of {name!r} for {n_inputs} inputs")
    if isinstance(values, np.ndarray):
        numbers = _numbers(check, values)
        if numbers is not None:
            return numbers
        values = values.tolist()
    try:
        found = check.adapter.validate_python(_as_python(check, values))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        position, *inside = first["loc"]
        where = f"element {inside[-1]}" if inside and isinstance(inside[-1], int) else "it"
        raise WrongOutputs(
            _words(first["msg"].replace("Input", where), values[int(position)]), name, int(position)
        ) from None
    if check.column.kind in ("text", "text[]"):
        _refuse_unstorable(name, found)
    return found


def _listed(name: str, values: Any) -> list[Any] | NDArray[Any]:
    """Return what a tuple, a series or a tensor holds. Raises WrongOutputs for what is no column."""
    if isinstance(values, tuple):
        return list(values)
    listed = getattr(values, "tolist", lambda: None)()
    if not isinstance(listed, list):
        raise WrongOutputs(f"the model gave a {type(values).__name__} as {name!r}, not one value an input")
    return listed


def _numbers(check: OutputCheck, values: NDArray[Any]) -> NDArray[Any] | None:
    """Return an array that passes all checks, in a type that the column holds exactly; None: pydantic must look."""
    kind, dtype = check.column.kind, values.dtype.kind
    if check.bounds is None or values.ndim != 1 or dtype not in "biuf":
        return None
    if kind == "boolean":
        return values if dtype == "b" else None
    if dtype == "b" or kind not in ("double", "integer", "bigint"):
        return None
    if kind == "double":
        values = values.astype(np.float64, copy=False)
    if not len(values):
        return values
    least, most = values.min(), values.max()  # NaN if any is
    if not (np.isfinite(least) and np.isfinite(most)):
        return None
    if kind != "double":
        if dtype == "f" and (np.floor(values) != values).any():
            return None
        least, most = int(least), int(most)
    for value, bounds in zip((least, most), check.bounds, strict=True):
        if not all(holds(value, bound) for holds, bound in bounds):
            return None
    return values if kind == "double" or dtype != "f" else values.astype(np.int64)


def _as_python(check: OutputCheck, values: list[Any]) -> list[Any]:
    """Return the values in Python's own types, whole floats of an integer column as integers. Raises WrongOutputs."""
    types, words = _TYPES[check.column.kind]
    if list in types or set(map(type, values)) - types - {type(None)}:
        values = list(map(_one_as_python, values))
        if int in types and float not in types:
            values = [int(value) if type(value) is float and value.is_integer() else value for value in values]
        for position, value in enumerate(values):
            if type(value) not in types and value is not None:
                raise WrongOutputs(_words(f"it should be {words}", value), check.column.name, position)
    return values


def _one_as_python(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return list(value) if set(map(type, value)) <= _USUAL else list(map(_one_as_python, value))
    return str.__str__(value) if isinstance(value, str) else value  # a member of an enumeration


def _refuse_unstorable(name: str, values: Sequence[Any]) -> None:
    for position, value in enumerate(values):
        text = "".join(value) if isinstance(value, list) else value or ""
        if "\0" in text or not (text.isascii() or _is_unicode(text)):
            raise WrongOutputs(_words("it must not hold a NUL or half a surrogate pair", value), name, position)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _words(fault: str, value: Any) -> str:
    return f"is {_quoted(repr(value))}: {fault}"


def _quoted(words: str) -> str:
    return words if len(words) <= SHOWN else f"{words[:SHOWN]}…"
