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
from operator import attrgetter
from typing import Any

import msgspec
from pydantic import AwareDatetime, TypeAdapter

from serving.contract import Columns, Spec, per_spec
from serving.fast_twin import but_for_nul, refuse_unsupported
from serving.fields import bare_type


@per_spec
def row(spec: Spec) -> type[Any]:
    """Return the structure of one input, whose free texts RowsDecoder searches for a NUL.

    Raises TypeError for a constraint without an equivalent.
    """
    refuse_unsupported(spec.input)
    required = {name: field for name, field in spec.input.model_fields.items() if field.is_required()}
    optional = {name: field for name, field in spec.input.model_fields.items() if not field.is_required()}
    return msgspec.defstruct(
        spec.input.__name__,
        [
            *((name, but_for_nul(field)) for name, field in required.items()),
            *((name, but_for_nul(field), field.default) for name, field in optional.items()),
        ],
        forbid_unknown_fields=True,
        rename=spec.public_names,
        gc=False,  # rows hold no references that could form a cycle
    )


class RowsDecoder:
    """Decodes JSON into rows. Raises msgspec.DecodeError at the first fault.

    A NUL is looked for in the whole of the text at once: as a pattern of each value it took nine tenths of the time.
    """

    def __init__(self, spec: Spec) -> None:
        kind = row(spec)
        self._one, self._many = msgspec.json.Decoder(kind), msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]

    def decode(self, array: bytes) -> list[Any]:
        _refuse_nul(array)
        return self._many.decode(array)

    def decode_stored(self, array: bytes) -> list[Any]:
        """Decode what was validated when it was stored."""
        return self._many.decode(array)

    def decode_one(self, value: bytes) -> Any:
        _refuse_nul(value)
        return self._one.decode(value)

    def decode_lines(self, lines: bytes) -> list[Any]:
        _refuse_nul(lines)
        return self._one.decode_lines(lines)


@per_spec
def decoder(spec: Spec) -> RowsDecoder:
    """Return the decoder of inputs."""
    return RowsDecoder(spec)


_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def _refuse_nul(text: bytes) -> None:
    """Raise for the only form that a NUL has in JSON, which is no backslash before u0000."""
    if rb"\u0000" in text and _NUL.search(text):
        raise msgspec.ValidationError("a text holds a NUL")


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
            rows += decoder(spec).decode_stored(payload)
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
