"""A form for one input of a model, made of its schema, and the input that a filled form stands for."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from handler.submit.options import input_in_query
from serving.contract import Column, Spec
from serving.fields import bare_type, constraints

LONG = 100
"""Characters from which on a text gets a field of several lines."""

FieldKind = Literal["text", "long text", "number", "choice", "file"]


@dataclass(frozen=True)
class FormField:
    """A field as a page shows it."""

    name: str
    kind: FieldKind
    required: bool
    about: str
    value: str
    """What the field is filled with: the example of the schema, or what was sent."""
    choices: tuple[str, ...] = ()
    least: Any = None
    most: Any = None
    step: str = "any"
    max_length: int | None = None


def fields_of(spec: Spec, given: Mapping[str, str | bytes] | None = None) -> list[FormField]:
    """Return a field for each of the model's inputs, filled with what was given, or else with examples."""
    return [_field(spec, column, spec.input.model_fields[column.name], given) for column in spec.input_columns]


def _field(spec: Spec, column: Column, field: FieldInfo, given: Mapping[str, str | bytes] | None) -> FormField:
    name = spec.public_names[column.name]
    rules = constraints(field)
    longest = _rule(rules, annotated_types.MaxLen, "max_length")
    known = spec.example.get(name, "") if given is None else given.get(name, "")
    return FormField(
        name,
        _kind(column, field, longest),
        field.is_required(),
        field.description or "",
        "" if isinstance(known, bytes) else _text(known),
        _choices(column, field),
        _rule(rules, annotated_types.Ge, "ge"),
        _rule(rules, annotated_types.Le, "le"),
        "1" if column.kind in ("integer", "bigint") else "any",
        longest,
    )


def _kind(column: Column, field: FieldInfo, longest: int | None) -> FieldKind:
    if _choices(column, field):
        return "choice"
    if column.kind == "bytes":
        return "file"
    if column.kind in ("integer", "bigint", "double"):
        return "number"
    return "long text" if column.kind == "text" and (longest is None or longest > LONG) else "text"


def _choices(column: Column, field: FieldInfo) -> tuple[str, ...]:
    kind = bare_type(field)
    if get_origin(kind) is Literal:
        return tuple(map(str, get_args(kind)))
    return ("true", "false") if column.kind == "boolean" else ()


def _rule(rules: list[Any], kind: Any, name: str) -> Any:
    return next((getattr(rule, name) for rule in rules if isinstance(rule, kind)), None)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def input_of(spec: Spec, given: Mapping[str, str | bytes]) -> dict[str, Any]:
    """Return the input that a form stands for, as JSON has it; what is empty is left out.

    What should be a number and is none stays a text, of which validation says what is wrong.
    """
    kinds = {spec.public_names[column.name]: column.kind for column in spec.input_columns}
    filled = {name: value for name, value in given.items() if name in kinds and value not in ("", b"")}
    texts = {name: value for name, value in filled.items() if isinstance(value, str)}
    found = input_in_query(texts, spec)
    for name, value in filled.items():
        if isinstance(value, bytes):
            found[name] = b64encode(value).decode()
        elif kinds[name] == "boolean" and value in ("true", "false"):
            found[name] = value == "true"
        elif kinds[name] == "double[]":
            found[name] = [_number(part.strip()) for part in value.split(",")]
    return {name: found[name] for name in kinds if name in found}


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
