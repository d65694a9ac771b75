"""Converts columns to tensors of the Open Inference Protocol, in JSON and in binary, and back.

A field is one tensor of shape [inputs], a list field one of [inputs, longest list]. Binary numbers are little-endian;
an element of BYTES is preceded by its length in four bytes.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import struct
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from math import nan
from typing import Annotated, Any

from msgspec import Meta, Struct

from handler.problems import ProblemKind, RequestRefused
from serving.contract import Column

DATATYPES = {
    "text": "BYTES",
    "bytes": "BYTES",
    "timestamp": "BYTES",
    "integer": "INT32",
    "bigint": "INT64",
    "double": "FP64",
    "boolean": "BOOL",
    "text[]": "BYTES",
    "double[]": "FP64",
}
_CODES = {
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
    "BOOL": "B",
}
_WHOLE = {"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"}
_FLOATS = {"FP16", "FP32", "FP64"}
_TAKEN = {
    "INT32": {*_WHOLE, *_FLOATS},  # pandas makes 3.0 of a 3 as soon as its column has a gap
    "INT64": {*_WHOLE, *_FLOATS},
    "FP64": {*_FLOATS, *_WHOLE},
    "BOOL": {"BOOL"},
    "BYTES": {"BYTES"},
}
_EMPTY: dict[str, Any] = {"BYTES": "", "FP64": 0.0, "INT32": 0, "INT64": 0, "BOOL": False}
_EXACT = 2**53
"""Up to here FP64 holds every whole number."""

_LENGTH = struct.Struct("<I")


class Tensor(Struct):
    """One field of all the inputs. Its data follow the JSON if its parameters have a `binary_data_size`."""

    name: Annotated[str, Meta(examples=["popularity"])]
    datatype: Annotated[str, Meta(examples=["INT32"])]
    shape: Annotated[list[int], Meta(examples=[[1]])]
    data: Annotated[list[Any] | None, Meta(examples=[[3]])] = None
    parameters: dict[str, Any] | None = None


class WrongTensor(RequestRefused):
    """The tensor is not what its column needs; the message says what it needs."""

    def __init__(self, detail: str) -> None:
        super().__init__(ProblemKind.INVALID_INPUT, detail)


def datatype(column: Column) -> str:
    return DATATYPES[column.kind]


def shape(column: Column) -> list[int]:
    """Return the shape in the model's metadata: -1 is any number."""
    return [-1, -1] if _is_wide(column) else [-1]


def _is_wide(column: Column) -> bool:
    return column.kind.endswith("[]")


def parse(column: Column, tensor: Tensor, raw: bytes | None) -> list[Any]:
    """Return a column's values, with JSON's types, from a tensor whose data are `raw`, or else inside it.

    Raises WrongTensor. The model's schema is checked later.
    """
    given, wanted = tensor.datatype, datatype(column)
    if given not in _TAKEN[wanted]:
        raise WrongTensor(f"datatype {given[:20]!r} cannot be read as {wanted}; send {wanted}")
    length, width = _size(column, tensor.shape)
    if raw is None:
        values = _flat(tensor.data, width)
    elif given == "BYTES":
        values = _elements(raw, length * width, as_text=column.kind != "bytes")
    else:
        values = _numbers(given, raw, length * width)
    if len(values) != length * width:
        raise WrongTensor(f"{len(values)} elements do not fill the shape {tensor.shape}")
    if given == "BOOL":
        values = [bool(value) if type(value) is int and value in (0, 1) else value for value in values]
    if wanted == "FP64" and given in _WHOLE:
        values = [_exact(place, value) for place, value in enumerate(values)]
    return [values[row * width : (row + 1) * width] for row in range(length)] if _is_wide(column) else values


def _size(column: Column, given: list[int]) -> tuple[int, int]:
    if any(n < 0 for n in given):
        raise WrongTensor(f"shape {given[:3]} must be of whole numbers")
    wide = _is_wide(column)
    if (len(given) == 1 and not wide) or (len(given) == 2 and (wide or given[1] == 1)):
        return given[0], given[1] if len(given) == 2 else 1
    raise WrongTensor(f"shape {given[:3]} must be {'[inputs, elements]' if wide else '[inputs] or [inputs, 1]'}")


def _flat(data: list[Any] | None, width: int) -> list[Any]:
    """Return nested lists as a flat one. The protocol allows both."""
    if data is None:
        raise WrongTensor("data must be a list, or come in binary with the parameter binary_data_size")
    if list in set(map(type, data)):
        if not all(isinstance(part, list) and len(part) == width for part in data):
            raise WrongTensor(f"each list in data must have {width} elements")
        data = [item for part in data for item in part]
    if {list, dict} & set(map(type, data)):
        raise WrongTensor("an element of data must be a text, a number, true, false or null")
    return data


def _numbers(kind: str, raw: bytes, count: int) -> list[Any]:
    one = struct.calcsize("<" + _CODES[kind])
    if len(raw) != count * one:
        raise WrongTensor(f"{len(raw)} bytes are not {count} elements of {kind}, {one} bytes each")
    return list(struct.unpack(f"<{count}{_CODES[kind]}", raw))


def _elements(raw: bytes, count: int, *, as_text: bool) -> list[Any]:
    values: list[str] = []
    place = 0
    while place < len(raw):
        if len(values) == count:
            raise WrongTensor(f"there are more than {count} elements")
        if place + 4 > len(raw) or place + 4 + (length := _LENGTH.unpack_from(raw, place)[0]) > len(raw):
            raise WrongTensor(f"element {len(values)} is cut off")
        element = raw[place + 4 : place + 4 + length]
        place += 4 + length
        try:
            values.append(element.decode() if as_text else b64encode(element).decode())
        except UnicodeDecodeError:
            raise WrongTensor(f"element {len(values)} is not UTF-8") from None
    return values


def _exact(place: int, value: Any) -> Any:
    if type(value) is not int:  # in JSON the type may be any
        return value
    if abs(value) > _EXACT:
        raise WrongTensor(f"element {place} is a whole number that FP64 may not hold exactly; send FP64")
    return float(value)


def build(column: Column, values: Sequence[Any], *, binary: bool) -> tuple[dict[str, Any], bytes]:
    """Return a column as a tensor, and its data if they are binary.

    A tensor has no gaps: shorter lists are padded with "" or 0, and a missing value is "", 0, false, or NaN (null in
    JSON).
    """
    kind, size, flat = datatype(column), [len(values)], list(values)
    if column.kind == "timestamp":
        flat = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    empty = _EMPTY[kind]
    if _is_wide(column):
        size.append(max((len(row or ()) for row in values), default=0))
        flat = [item for row in values for item in [*(row or ()), *[empty] * (size[1] - len(row or ()))]]
    elif kind != "FP64":
        flat = [empty if value is None else value for value in flat]
    tensor: dict[str, Any] = {"name": column.name, "datatype": kind, "shape": size}
    if not binary:
        return {**tensor, "data": flat}, b""  # bytes become base64 when the whole is encoded
    raw = _packed(kind, flat)
    return {**tensor, "parameters": {"binary_data_size": len(raw)}}, raw


def _packed(kind: str, values: list[Any]) -> bytes:
    if kind == "BYTES":
        encoded = [value if isinstance(value, bytes) else value.encode() for value in values]
        return b"".join(part for value in encoded for part in (_LENGTH.pack(len(value)), value))
    return struct.pack(f"<{len(values)}{_CODES[kind]}", *(nan if value is None else value for value in values))
