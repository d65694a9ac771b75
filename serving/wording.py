"""Says in plain words what is wrong with a value, instead of in the messages of the libraries that found it."""

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from serving import plain
from serving.contract import NO_NUL

SHOWN = 40
"""Characters of a value that a message repeats."""

EXACT = 2**53
"""Below this, a float holds every whole number exactly, so that 3.0 can be accepted as 3."""

UUID = "01a1fbff-6bc2-77a0-9580-9b6d17fbabd4"
EXAMPLE_TIME = "2026-01-31T09:00:00Z"


def words(error: ErrorDetails, model: type[BaseModel] | None = None, *, as_text: bool = False) -> str:
    """Describe one error of pydantic; with the model that refused the value, name its fields.

    The error must have its context and its input. `as_text`: all values are text, as in a query.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == plain.KIND:
        return error["msg"]
    if kind == "extra_forbidden":
        known = _fields(model, error["loc"][:-1])
        return f"Unknown field; the fields are {', '.join(known)}" if known else "Unknown field; leave it out"
    if kind == "json_invalid":
        return f"Not valid JSON: {syntax_error(context['error'])}".replace("(line 1, ", "(")
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch" and context["pattern"] == NO_NUL:
        return r"Must not contain the character NUL (\u0000); remove it"
    message = _MESSAGES.get(kind) or _by_start(_FAMILY_MESSAGES, kind)
    if message is None:
        return "Not a valid value for this field; see GET /models/<model> and /docs"
    bounds = {name: int(value) if _is_whole(value) else value for name, value in context.items()}
    return message.format_map({**bounds, "given": given(error["input"], as_text=as_text)}) + _remedy(
        kind, error["input"]
    )


def _by_start(messages: Mapping[str, str], text: str) -> str | None:
    return next((message for start, message in messages.items() if text.startswith(start)), None)


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


_MESSAGES = {
    "missing": "Required field is missing",
    "finite_number": "Must be a finite number, not {given}",
    "literal_error": "Must be {expected}, not {given}",
    "enum": "Must be {expected}, not {given}",
    "greater_than_equal": "Must be at least {ge}, not {given}",
    "less_than_equal": "Must be at most {le}, not {given}",
    "greater_than": "Must be greater than {gt}, not {given}",
    "less_than": "Must be less than {lt}, not {given}",
    "multiple_of": "Must be a multiple of {multiple_of}, not {given}",
    "string_too_short": "Must have at least {min_length} characters",
    "string_too_long": "Must have at most {max_length} characters",
    "string_pattern_mismatch": "Does not match the pattern in the field's description: {given}",
    "string_unicode": "Must be valid Unicode; it has half of a surrogate pair",
    "too_short": "Must have at least {min_length} elements, not {actual_length}",
    "too_long": "Must have at most {max_length} elements, not {actual_length}",
    "timezone_aware": f"Give the time with its offset from UTC, as {EXAMPLE_TIME}, not {{given}}",
    "none_required": "Must be null, not {given}",
}
_FAMILY_MESSAGES = {
    "int_": "Must be a whole number, not {given}",
    "float_": "Must be a number, not {given}",
    "string_": "Must be a string, not {given}",
    "bytes_": "Must be a string of base64, not {given}",
    "bool_": "Must be true or false, not {given}",
    "datetime_": f"Must be a time such as {EXAMPLE_TIME}, not {{given}}",
    "list_": "Must be an array, not {given}",
    "dict_": "Must be an object, not {given}",
    "model_": "Must be an object, not {given}",
    "uuid_": f"Must be an id such as {UUID}, not {{given}}",
}


def _remedy(kind: str, value: Any) -> str:
    if kind.startswith("int_") and _is_whole(value) and abs(value) >= EXACT:
        return "; write a number as large as this without a point or an exponent"
    return ""


def given(value: Any, *, as_text: bool = False) -> str:
    """Describe a value as JSON calls it, without repeating much of it."""
    if isinstance(value, str):
        shown = repr(value if len(value) <= SHOWN else value[:SHOWN] + "…")
        return shown if as_text else f"the string {shown}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return str(value) if isfinite(value) else "NaN or infinity"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**SHOWN else f"a number of more than {SHOWN} digits"
    if isinstance(value, bytes):
        return "a file"
    return "an object" if isinstance(value, dict) else "an array" if isinstance(value, list) else "this"


def _fields(model: type[BaseModel] | None, place: Sequence[str | int]) -> list[str]:
    """Return the names of the fields at a place in the model's JSON; none if there is no model there."""
    for step in place:
        if model is None:
            break
        if isinstance(step, str):
            named = {field.alias or name: field for name, field in model.model_fields.items()}
            model = _model_in(named[step].annotation) if step in named else None
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def syntax_error(message: str) -> str:
    """Translate a message of pydantic's JSON parser, and say where the fault is."""
    fault, _, place = message.rpartition(" at line ")
    line, _, column = place.partition(" column ")
    words = _by_start(_SYNTAX_MESSAGES, fault) or "it is malformed"
    return f"{words} (line {line}, column {column})" if fault else words


_SYNTAX_MESSAGES = {
    "EOF while parsing": "it ends too early, part of it is missing",
    "expected value": "a value is missing; strings must be in double quotes",
    "key must be a string": "the name of a field must be in double quotes",
    "trailing comma": "there is a comma before a closing bracket; remove it",
    "trailing characters": "there is more text after its end",
    "expected `:`": "a colon must follow the name of a field",
    "expected `,`": "a comma or a closing bracket is missing",
    "invalid number": "a number is malformed",
    "number out of range": "a number has too many digits",
    "recursion limit": "arrays or objects are nested too deeply",
    "invalid unicode": "it is not UTF-8; send UTF-8",
    "unexpected end of hex escape": r"a \u escape is half of a surrogate pair; send both halves",
    "lone leading surrogate": r"a \u escape is half of a surrogate pair; send both halves",
    "invalid escape": r"there is a backslash before a character that needs none; write \\ for a backslash",
    "control character": r"there is a control character in a string; write a line break as \n, others as \u0000",
}

_STEP = re.compile(r"\.([^.\[\]]+)|\[([0-9]+|\.\.\.)\]")
_EXPECTED = re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`)?")
_LACKS = re.compile(r"Object missing required field `([^`]+)`")
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def structure_error(message: str) -> tuple[list[str | int], str]:
    """Translate a message of msgspec: the place in the body, and what is wrong there."""
    fault, _, path = message.partition(" - at `$")
    steps = [name or (int(index) if index.isdecimal() else "*") for name, index in _STEP.findall(path.rstrip("`"))]
    if lacks := _LACKS.match(fault):
        return [*steps, lacks[1]], "Required field is missing"
    if expected := _EXPECTED.match(fault):
        taken, got = (
            " or ".join(_KINDS.get(k, "another value") for k in (e or "").split(" | ")) for e in expected.groups()
        )
        return steps, f"Must be {taken}, not {got}" if expected[2] else f"Must be {taken}"
    return steps, "Not a valid value there; see the protocol"
