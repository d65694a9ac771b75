"""Columns as tensors of the Open Inference Protocol, in JSON and in binary, and back.

A field is one tensor of shape [inputs], a list field one of [inputs, longest list]. Binary numbers are little-endian;
an element of BYTES is preceded by its length in four bytes.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import struct
import sys
from array import array
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from models.contract import Column

DATATYPES = {
    "text": "BYTES",
    "bytes": "BYTES",
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
    "FP32": "f",
    "FP64": "d",
    "BOOL": "B",
}
_WHOLE = {"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"}
_TAKEN = {"INT32": _WHOLE, "INT64": _WHOLE, "FP64": {"FP32", "FP64", *_WHOLE}, "BOOL": {"BOOL"}, "BYTES": {"BYTES"}}
_PADDING = {"BYTES": "", "FP64": 0.0}


class WrongTensor(ValueError):
    """The tensor is not what its column needs; the message says what is."""


def datatype(column: Column) -> str:
    return DATATYPES[column.kind]


def shape(column: Column) -> list[int]:
    """Return the shape that the metadata gives: -1 is any number."""
    return [-1, -1] if column.kind.endswith("[]") else [-1]


def read(column: Column, tensor: dict[str, Any], raw: bytes | None) -> list[Any]:
    """Return a column's values, in JSON's terms, from a tensor whose data are `raw`, or else in itself."""
    given, wanted = tensor.get("datatype"), datatype(column)
    if given not in _TAKEN[wanted]:
        raise WrongTensor(f"datatype {given!r} cannot be read as {wanted}; send {wanted}")
    size = _size(column, tensor.get("shape"))
    values = _flat(tensor.get("data")) if raw is None else _unpacked(str(given), raw, as_text=column.kind != "bytes")
    if len(values) != size[0] * size[1]:
        raise WrongTensor(f"{len(values)} elements do not fill the shape {tensor.get('shape')}")
    if given == "BOOL":
        values = [bool(value) if value in (0, 1) else value for value in values]
    if wanted == "FP64" and given in _WHOLE:
        values = [float(value) if isinstance(value, int) else value for value in values]
    if column.kind.endswith("[]"):
        return [values[begin : begin + size[1]] for begin in range(0, len(values), size[1] or 1)]
    return values


def _size(column: Column, given: Any) -> tuple[int, int]:
    if not isinstance(given, list) or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in given):
        raise WrongTensor("shape must be a list of whole numbers")
    wide = column.kind.endswith("[]")
    if (len(given) == 1 and not wide) or (len(given) == 2 and (wide or given[1] == 1)):
        return given[0], given[1] if len(given) == 2 else 1
    raise WrongTensor(f"shape {given} must be {'[inputs, elements]' if wide else '[inputs] or [inputs, 1]'}")


def _flat(data: Any) -> list[Any]:
    """Take nested lists as well as flat ones, as the protocol has it."""
    if not isinstance(data, list):
        raise WrongTensor("data must be a list, or come in binary with the parameter binary_data_size")
    return [item for part in data for item in (part if isinstance(part, list) else [part])]


def _unpacked(kind: str, raw: bytes, *, as_text: bool) -> list[Any]:
    if kind != "BYTES":
        numbers = array(_CODES[kind])
        if len(raw) % numbers.itemsize:
            raise WrongTensor(f"{len(raw)} bytes are no whole number of {kind}")
        numbers.frombytes(raw)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tolist()
    values: list[str] = []
    place = 0
    while place < len(raw):
        if place + 4 > len(raw) or place + 4 + (length := struct.unpack_from("<I", raw, place)[0]) > len(raw):
            raise WrongTensor(f"element {len(values)} is cut off")
        element = raw[place + 4 : place + 4 + length]
        place += 4 + length
        try:
            values.append(element.decode() if as_text else b64encode(element).decode())
        except UnicodeDecodeError:
            raise WrongTensor(f"element {len(values)} is not UTF-8") from None
    return values


def write(column: Column, values: Sequence[Any], *, binary: bool) -> tuple[dict[str, Any], bytes]:
    """Return a column as a tensor, and its data where they come in binary. Shorter lists are filled up: "" or 0."""
    kind, size, flat = datatype(column), [len(values)], list(values)
    if column.kind.endswith("[]"):
        size.append(max(map(len, values), default=0))
        flat = [item for row in values for item in [*row, *[_PADDING[kind]] * (size[1] - len(row))]]
    if kind == "BYTES":
        flat = ["" if value is None else value for value in flat]
    tensor: dict[str, Any] = {"name": column.name, "datatype": kind, "shape": size}
    if not binary:
        return {**tensor, "data": flat}, b""
    raw = _packed(kind, flat)
    return {**tensor, "parameters": {"binary_data_size": len(raw)}}, raw


def _packed(kind: str, values: list[Any]) -> bytes:
    if kind == "BYTES":
        encoded = [str(value).encode() for value in values]
        return b"".join(part for value in encoded for part in (struct.pack("<I", len(value)), value))
    numbers = array(_CODES[kind], values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
