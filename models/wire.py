"""Reads a payload (a JSON array of inputs) into typed rows and columns, at a third of a microsecond a row.

The spec's pydantic model is the authority. The msgspec structure made of it here is its fast twin: it refuses
everything that pydantic refuses; where it refuses more, pydantic decides and says why.
"""

from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Annotated, Any

import annotated_types
import msgspec
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from models.contract import Columns, Spec, bare_type


@cache
def row(spec: Spec) -> type[Any]:
    """Return the structure of one input."""
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


def columns(spec: Spec, rows: Sequence[Any]) -> Columns:
    """Turn decoded rows into one list a field."""
    return {name: list(map(attrgetter(name), rows)) for name in spec.input.model_fields}


def _constrained(field: FieldInfo) -> Any:
    """Return the field's type with its constraints in msgspec's words."""
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
            meta["pattern"] = pattern
        elif not _about_json_only(rule):
            raise TypeError(f"constraint {rule!r} has no fast twin; use ge, le, min_length, max_length or pattern")
    constrained = Annotated[bare_type(field), msgspec.Meta(**meta)] if meta else bare_type(field)
    return constrained if field.annotation is bare_type(field) else constrained | None


def _about_json_only(rule: Any) -> bool:
    """JSON as msgspec reads it has no NaN or infinity, so this rule of pydantic's needs no twin."""
    return getattr(rule, "allow_inf_nan", None) is False
