"""Turns a reviewer's filter into a condition on a model's table."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from handler.pointer import pointer
from handler.submit import validation
from serving.contract import MAX_BIGINT, Spec
from store import timestamps
from store.predictions import KINDS

OPERATORS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}

MAX_VALUES = 100
"""Values of a list."""

ROW = {"task_id": ("task_id", "uuid"), "position": ("position", "integer")}
"""What else it may name: a prediction by its place, where the model has no field of such a name."""

FILTERED = {"text", "integer", "bigint", "double", "boolean", "timestamp", "uuid"}
"""The kinds of columns that a filter may name."""

PLACE = {"scored_at": ("scored_at", "timestamp"), "model_version": ("model_version", "text")}
"""What a filter may name beside the model's fields."""


class Condition(NamedTuple):
    """A condition in SQL on the table's alias p, and its parameters."""

    sql: str
    values: Mapping[str, Any]


def condition(spec: Spec, given: Mapping[str, Any]) -> Condition:
    """Return what the filter asks for. Raises RequestRefused, with the place of each fault."""
    known = _known(spec)
    parts, values, errors = ["true"], {}, []
    for number, (name, asked) in enumerate(given.items()):
        if name not in known:
            errors.append(_error((name,), f"Unknown field; the fields are {', '.join(known)}"))
            continue
        column, kind = known[name]
        try:
            for nth, (operator, value) in enumerate(_asked(name, kind, asked)):
                parameter = f"filter_{number}_{nth}"
                typed = f"CAST(:{parameter} AS {_SQL[kind]}{'[]' if operator == 'in' else ''})"
                parts.append(f'p."{column}" = ANY({typed})' if operator == "in" else f'p."{column}" {operator} {typed}')
                values[parameter] = value
        except WrongFilter as wrong:
            errors.append(_error(wrong.place, wrong.detail))
    validation.refuse_invalid(errors)
    return Condition(" AND ".join(parts), values)


class WrongFilter(Exception):
    """A value is not one of its field."""

    def __init__(self, place: tuple[str, ...], detail: str) -> None:
        super().__init__(detail)
        self.place, self.detail = place, detail


_SQL = {kind: str(KINDS[kind].compile()).lower() for kind in ("text", "integer", "bigint", "boolean")} | {
    "double": "double precision",
    "timestamp": "timestamptz",
    "uuid": "uuid",
}


def _known(spec: Spec) -> dict[str, tuple[str, str]]:
    columns = [*spec.input_columns, *spec.output_columns]
    fields = {spec.public_names[column.name]: (column.name, column.kind) for column in columns}
    row = {name: one for name, one in ROW.items() if name not in fields}
    return {name: one for name, one in {**fields, **row, **PLACE}.items() if one[1] in FILTERED}


def _error(place: tuple[str, ...], detail: str) -> dict[str, str]:
    return {"detail": detail, "pointer": pointer(("filter", *place))}


def _asked(name: str, kind: str, asked: Any) -> Iterator[tuple[str, Any]]:
    """Yield operators of SQL and values: of a value, a list of some, or bounds."""
    if isinstance(asked, Mapping):
        if unknown := [word for word in asked if word not in OPERATORS]:
            raise WrongFilter((name, unknown[0]), f"Unknown bound; there are {', '.join(OPERATORS)}")
        if not asked or kind == "boolean":
            raise WrongFilter((name,), "Give a value, or bounds such as {'ge': 3}")
        for word, value in asked.items():
            yield OPERATORS[word], _value((name, word), kind, value)
    elif isinstance(asked, Sequence) and not isinstance(asked, str):
        if not 1 <= len(asked) <= MAX_VALUES:
            raise WrongFilter((name,), f"Give 1 to {MAX_VALUES} values")
        yield "in", [_value((name, str(place)), kind, value) for place, value in enumerate(asked)]
    else:
        yield "=", _value((name,), kind, asked)


def _value(place: tuple[str, ...], kind: str, value: Any) -> Any:
    """Return a value of JSON as the driver takes it. Raises WrongFilter."""
    if kind == "timestamp" and isinstance(value, str):
        return _time(place, value)
    if kind == "uuid" and isinstance(value, str):
        return _id(place, value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in ("integer", "bigint") and isinstance(value, float) and value.is_integer():
        value = int(value)
    fits = {
        "text": isinstance(value, str) and "\0" not in value,
        "integer": isinstance(value, int) and number and abs(value) < 2**31,
        "bigint": isinstance(value, int) and number and abs(value) <= MAX_BIGINT,
        "double": number,
        "boolean": isinstance(value, bool),
        "timestamp": False,
        "uuid": False,
    }
    if not fits[kind]:
        raise WrongFilter(place, f"Must be {_WORDS[kind]}")
    return float(value) if kind == "double" else value


def _time(place: tuple[str, ...], value: str) -> datetime:
    try:
        return timestamps.parse(value)
    except timestamps.InvalidTime as wrong:
        raise WrongFilter(place, str(wrong)) from None


def _id(place: tuple[str, ...], value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise WrongFilter(place, f"Must be {_WORDS['uuid']}") from None


_WORDS = {
    "text": "a string",
    "integer": "a whole number of 32 bits",
    "bigint": "a whole number of 64 bits",
    "double": "a number",
    "boolean": "true or false",
    "timestamp": f"a time, such as {timestamps.EXAMPLE}",
    "uuid": "the id of a task",
}
