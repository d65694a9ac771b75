"""Reads inputs (a JSON array) into typed rows and columns, and payloads, at a third of a microsecond a row.

A payload is what a task's inputs are stored as until they are scored: the array as it came, or, from some inputs on, an
object with one array a field. That is a quarter as long and read five times as fast, and made in a request's time.

The spec's pydantic model is the authority. The msgspec structure made of it here is its fast twin: it refuses
everything that pydantic refuses; where it refuses more, pydantic decides and says why.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from math import inf
from operator import attrgetter
from typing import Annotated, Any

import annotated_types
import msgspec
from pydantic import BaseModel, EncodedBytes, TypeAdapter
from pydantic.fields import FieldInfo

from models.contract import MAX_BIGINT, Columns, Spec, bare_type


@cache
def row(spec: Spec) -> type[Any]:
    """Return the structure of one input. Raises TypeError for a rule that it could not keep."""
    _refuse_unkept(spec.input)
    required = {name: field for name, field in spec.input.model_fields.items() if field.is_required()}
    optional = {name: field for name, field in spec.input.model_fields.items() if not field.is_required()}
    return msgspec.defstruct(
        spec.input.__name__,
        [
            *((name, _constrained(field)) for name, field in required.items()),
            *((name, _constrained(field), field.default) for name, field in optional.items()),
        ],
        forbid_unknown_fields=True,
        gc=False,  # rows hold no references that could form a cycle
    )


@cache
def decoder(spec: Spec) -> msgspec.json.Decoder[list[Any]]:
    """Return the decoder of a payload; it raises msgspec.DecodeError on the first fault."""
    return msgspec.json.Decoder(list[row(spec)])  # type: ignore[misc]


@cache
def validator(spec: Spec) -> TypeAdapter[list[Any]]:
    """Return pydantic's validator of a payload, which names every fault."""
    return TypeAdapter(list[spec.input])  # type: ignore[name-defined]


@cache
def _columns_decoder(spec: Spec) -> msgspec.json.Decoder[Any]:
    # The values were validated when they were packed; only bytes have a form of their own in JSON.
    fields = {name: bare_type(field) is bytes for name, field in spec.input.model_fields.items()}
    kinds = [(name, list[bytes | None] if is_bytes else list[Any]) for name, is_bytes in fields.items()]
    return msgspec.json.Decoder(msgspec.defstruct(f"{spec.input.__name__}Columns", kinds, gc=False))


def columns(spec: Spec, rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Turn decoded rows into one list a field."""
    return {name: list(map(attrgetter(name), rows)) for name in spec.input.model_fields}


MANY = 8
"""Inputs from which on columns are cheaper to make and read than the array."""


def pack(spec: Spec, rows: Sequence[Any], array: bytes) -> bytes:
    """Return the payload of rows that were decoded from this array."""
    return array if len(rows) < MANY else msgspec.json.encode(columns(spec, rows))


def unpack(spec: Spec, payloads: Iterable[bytes]) -> Columns:
    """Return the columns of all the payloads' inputs, one after the other. Raises msgspec.DecodeError."""
    parts: list[dict[str, list[Any]]] = []
    rows: list[Any] = []
    for payload in payloads:
        if not payload.startswith(b"{"):  # an array may begin with blanks, for it is as it came; what we pack does not
            rows += decoder(spec).decode(payload)
            continue
        if rows:
            parts.append(columns(spec, rows))
            rows = []
        parts.append(msgspec.structs.asdict(_columns_decoder(spec).decode(payload)))
    if rows or not parts:
        parts.append(columns(spec, rows))
    if len(parts) == 1:
        return parts[0]
    return {name: list(chain.from_iterable(part[name] for part in parts)) for name in parts[0]}


def inputs(payload: bytes) -> list[dict[str, Any]]:
    """Return a payload's inputs for people, as they came but for what a field's default has added."""
    found = msgspec.json.decode(payload)
    if isinstance(found, list):
        return found
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def _refuse_unkept(model: type[BaseModel]) -> None:
    """Raise for rules of pydantic's by which the fast twin would let in what pydantic refuses, or NaN in a payload."""
    decorators = model.__pydantic_decorators__
    if decorators.validators or decorators.field_validators or decorators.model_validators:
        raise TypeError(f"{model.__name__}: validators have no fast twin; use the constraints of Field")
    if unkept := model.model_config.keys() - {"extra", "strict", "allow_inf_nan", "title", "json_schema_extra"}:
        raise TypeError(f"{model.__name__}: model_config has {sorted(unkept)}, which has no fast twin")
    for name, field in model.model_fields.items():
        if field.alias or field.validation_alias or field.default_factory:
            raise TypeError(f"{model.__name__}.{name}: an alias or a default_factory has no fast twin")
        finite = model.model_config.get("allow_inf_nan") is False or any(map(_about_json_only, field.metadata))
        if bare_type(field) is float and not finite:
            raise TypeError(f"{model.__name__}.{name}: set allow_inf_nan=False; JSON cannot carry NaN to the worker")


def _constrained(field: FieldInfo) -> Any:
    """Return the field's type with its constraints in msgspec's words."""
    if hasattr(bare_type(field), "__metadata__"):
        raise TypeError(f"constraints on a part of {field.annotation!r} are lost; annotate the whole")
    meta: dict[str, Any] = {}
    for rule in field.metadata:
        if isinstance(rule, annotated_types.Ge):
            meta["ge"] = rule.ge
        elif isinstance(rule, annotated_types.Le):
            meta["le"] = rule.le
        elif isinstance(rule, annotated_types.MinLen):
            meta["min_length"] = rule.min_length
        elif isinstance(rule, annotated_types.MaxLen):
            meta["max_length"] = rule.max_length
        elif pattern := getattr(rule, "pattern", None):
            # Python's $ also matches before a last newline, pydantic's does not.
            meta["pattern"] = re.sub(r"(?<!\\)((?:\\\\)*)\$", r"\1\\Z", pattern)
        elif not _about_json_only(rule) and not isinstance(rule, EncodedBytes):  # msgspec's bytes are base64, too
            raise TypeError(f"constraint {rule!r} has no fast twin; use ge, le, min_length, max_length or pattern")
    _refuse_unstorable(field, meta)
    constrained = Annotated[bare_type(field), msgspec.Meta(**meta)] if meta else bare_type(field)
    return constrained if field.annotation is bare_type(field) else constrained | None


def _refuse_unstorable(field: FieldInfo, meta: dict[str, Any]) -> None:
    """Raise for a field that would let in what its column cannot hold."""
    if bare_type(field) is str and "pattern" not in meta:
        raise TypeError(
            f"text must not hold a NUL: give {field.description or 'it'!r} pattern=NO_NUL or one of your own"
        )
    if bare_type(field) == list[str]:
        raise TypeError(
            f"a list of texts could hold a NUL, so it can be an output only: {field.description or field!r}"
        )
    if bare_type(field) is int and not -MAX_BIGINT <= meta.get("ge", -inf) <= meta.get("le", inf) <= MAX_BIGINT:
        raise TypeError(f"an int needs bounds of 64 bits: give {field.description or 'it'!r} both ge and le")


def _about_json_only(rule: Any) -> bool:
    """JSON as msgspec reads it has no NaN or infinity, so this rule of pydantic's needs no twin."""
    return getattr(rule, "allow_inf_nan", None) is False
