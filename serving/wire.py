"""Decodes inputs (a JSON array) and payloads into typed rows and columns, at a third of a microsecond a row.

A payload is what PostgreSQL stores a task's inputs as until they are scored: the array as it came or, from MANY inputs
on, an object with one array a field, which is a quarter as long and decoded five times as fast. Both are format 1. The
number may stand before it (`1:[…]`); a later format must have one: docs/decisions/0010-payload-formats.md.

The spec's pydantic model is the authority. The msgspec structure made from it here is its fast twin: it refuses
everything that pydantic refuses. Where it refuses more, pydantic decides and says why.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from math import inf
from operator import attrgetter
from typing import Annotated, Any

import annotated_types
import msgspec
from pydantic import AwareDatetime, BaseModel, EncodedBytes, TypeAdapter
from pydantic.fields import FieldInfo

from serving.contract import MAX_BIGINT, Columns, Spec, per_spec
from serving.fields import bare_type, constraints, is_nullable


@per_spec
def row(spec: Spec) -> type[Any]:
    """Return the structure of one input. Raises TypeError for a constraint without an equivalent."""
    _refuse_unsupported(spec.input)
    required = {name: field for name, field in spec.input.model_fields.items() if field.is_required()}
    optional = {name: field for name, field in spec.input.model_fields.items() if not field.is_required()}
    return msgspec.defstruct(
        spec.input.__name__,
        [
            *((name, constrained(field)) for name, field in required.items()),
            *((name, constrained(field), field.default) for name, field in optional.items()),
        ],
        forbid_unknown_fields=True,
        rename=spec.public_names,
        gc=False,  # rows hold no references that could form a cycle
    )


@per_spec
def decoder(spec: Spec) -> msgspec.json.Decoder[list[Any]]:
    """Return the decoder of an array of inputs; it raises msgspec.DecodeError at the first fault."""
    return msgspec.json.Decoder(list[row(spec)])  # type: ignore[misc]


@per_spec
def validator(spec: Spec) -> TypeAdapter[list[Any]]:
    """Return pydantic's validator of an array of inputs, which names every fault."""
    return TypeAdapter(list[spec.input])  # type: ignore[name-defined]


@per_spec
def _columns_decoder(spec: Spec) -> msgspec.json.Decoder[Any]:
    # The values were validated when they were packed.
    kinds = [
        (name, _IN_COLUMNS.get(bare_type(field), list[Any]), *([] if field.is_required() else [None]))
        for name, field in spec.input.model_fields.items()
    ]
    made = msgspec.defstruct(f"{spec.input.__name__}Columns", kinds, rename=spec.public_names, gc=False, kw_only=True)
    return msgspec.json.Decoder(made)


_IN_COLUMNS: dict[Any, Any] = {bytes: list[bytes | None], AwareDatetime: list[datetime | None]}
"""The values that have a form of their own in JSON."""


FORMAT = 1
"""The newest payload format that this release reads. A release may write it once the release before reads it."""


class UnknownFormat(Exception):
    """A newer release stored these inputs, in a format that this release does not read."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"a newer release stored these inputs in payload format {number}, and this release reads format {FORMAT}: "
            "run a worker of the newer release; if the task has failed, replay it there"
        )


_MAX_DIGITS = 9


def _content(payload: bytes) -> bytes:
    """Return a payload without its format number; without a number it is format 1. Raises UnknownFormat."""
    if not payload[:1].isdigit():
        return payload
    number, colon, content = payload.partition(b":")
    if not colon or not number.isdigit() or len(number) > _MAX_DIGITS:
        return payload  # no payload at all: the decoder says so
    if int(number) != FORMAT:
        raise UnknownFormat(int(number))
    return content


def columns(spec: Spec, rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Turn decoded rows into one list a field."""
    return {name: list(map(attrgetter(name), rows)) for name in spec.input.model_fields}


MANY = 8
"""Inputs from which on columns are cheaper to write and decode than the array."""


def pack(spec: Spec, rows: Sequence[Any], array: bytes) -> bytes:
    """Return the payload of rows that were decoded from this array."""
    if len(rows) < MANY:
        return array
    return msgspec.json.encode({spec.public_names[name]: values for name, values in columns(spec, rows).items()})


def unpack(spec: Spec, payloads: Iterable[bytes]) -> Columns:
    """Return the columns of all the payloads' inputs in their order. Raises msgspec.DecodeError, UnknownFormat."""
    parts: list[dict[str, list[Any]]] = []
    rows: list[Any] = []
    for payload in map(_content, payloads):
        if not payload.startswith(b"{"):  # an array, stored as it came, may begin with blanks
            rows += decoder(spec).decode(payload)
            continue
        if rows:
            parts.append(columns(spec, rows))
            rows = []
        parts.append(_with_defaults(spec, msgspec.structs.asdict(_columns_decoder(spec).decode(payload))))
    if rows or not parts:
        parts.append(columns(spec, rows))
    if len(parts) == 1:
        return parts[0]
    return {name: list(chain.from_iterable(part[name] for part in parts)) for name in parts[0]}


def _with_defaults(spec: Spec, found: dict[str, Any]) -> dict[str, list[Any]]:
    """Fill the columns of fields that were added, with a default, after these inputs were stored."""
    n_inputs = len(next(values for values in found.values() if values is not None))
    fields = spec.input.model_fields
    return {name: [fields[name].default] * n_inputs if values is None else values for name, values in found.items()}


def canonical(spec: Spec, payload: bytes) -> bytes:
    """Return a payload's inputs in one form, however they were written: 1.50 or 1.5, a default given or left out."""
    found = unpack(spec, [payload])
    defaults = {name: field.default for name, field in spec.input.model_fields.items() if not field.is_required()}
    stated = {
        name: found[name]
        for name in sorted(found)
        if name not in defaults or any(value != defaults[name] for value in found[name])
    }
    return msgspec.json.encode((len(found[min(found)]), stated))


def inputs(payload: bytes) -> list[dict[str, Any]]:
    """Return a payload's inputs for people: as they came, with the defaults that were added.

    Raises UnknownFormat.
    """
    found = msgspec.json.decode(_content(payload))
    if isinstance(found, list):
        return found
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


_KEPT = {"extra", "strict", "allow_inf_nan", "title", "json_schema_extra", "protected_namespaces"}


def _refuse_unsupported(model: type[BaseModel]) -> None:
    """Raise for features of pydantic that would let the fast twin accept what pydantic refuses, or NaN in a payload."""
    decorators = model.__pydantic_decorators__
    if decorators.validators or decorators.field_validators or decorators.model_validators:
        raise TypeError(f"{model.__name__}: validators have no fast twin; use the constraints of Field")
    if unkept := model.model_config.keys() - _KEPT:
        raise TypeError(f"{model.__name__}: model_config has {sorted(unkept)}, which has no fast twin")
    for name, field in model.model_fields.items():
        aliases = {field.alias, field.validation_alias, field.serialization_alias}
        if len(aliases) > 1 or field.default_factory:
            raise TypeError(f"{model.__name__}.{name}: a partial alias or a default_factory has no fast twin")
        finite = model.model_config.get("allow_inf_nan") is False or any(map(_forbids_nan, constraints(field)))
        if bare_type(field) is float and not finite:
            raise TypeError(f"{model.__name__}.{name}: set allow_inf_nan=False; JSON cannot carry NaN to the worker")


def constrained(field: FieldInfo) -> Any:
    """Return the field's type with its constraints as msgspec has them."""
    meta: dict[str, Any] = {}
    for rule in constraints(field):
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
        elif not _forbids_nan(rule) and not isinstance(rule, EncodedBytes):  # msgspec's bytes are base64, too
            raise TypeError(f"constraint {rule!r} has no fast twin; use ge, le, min_length, max_length or pattern")
    _refuse_unstorable(field, meta)
    kind = bare_type(field)
    if kind is AwareDatetime:
        kind, meta = datetime, {"tz": True}
    constrained = Annotated[kind, msgspec.Meta(**meta)] if meta else kind
    return constrained | None if is_nullable(field) else constrained


def _refuse_unstorable(field: FieldInfo, meta: dict[str, Any]) -> None:
    """Raise for a field that would accept values which its column cannot hold."""
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


def _forbids_nan(rule: Any) -> bool:
    """Return whether this is pydantic's rule against NaN and infinity. msgspec refuses both in JSON anyway."""
    return getattr(rule, "allow_inf_nan", None) is False
