"""Takes rows of PostgreSQL's binary COPY apart into Arrow columns with numpy, without a Python step a field.

Format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format". A row is a 16-bit count of fields and,
for each field, a 32-bit length (-1 for NULL) and that many bytes, all big-endian. The next field of every row begins
where the last one ended, so one step takes one column of all rows.
"""

from collections.abc import Callable, Sequence
from struct import unpack_from
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from export.columns import UTC_MICROSECONDS

HEADER = 19
"""Bytes before the first row: signature, flags, and an extension of no length."""

SIGNATURE = b"PGCOPY\n\xff\r\n\0"

TRAILER = b"\xff\xff"

_PAD = bytes(16)
"""After the last row, where the bytes of a NULL would be looked at."""

_EPOCH = 946_684_800_000_000
"""Microseconds from Arrow's epoch to PostgreSQL's, 2000-01-01."""

FEW = 16
"""Arrays in a block that are longer than all others: so few are walked through one by one, in plain Python."""

Positions = NDArray[np.int64]


class CopyBroken(Exception):
    """The stream of COPY is not as its format says."""


class _Fields:
    """One column's fields in a block: where each begins, how long it is, and which are not NULL."""

    def __init__(self, data: bytes, begins: Positions, lengths: Positions) -> None:
        self.data = data
        self.present = lengths >= 0
        self.begins = begins
        self.ends = begins + np.where(self.present, lengths, 0)

    def fixed(self, kind: str) -> NDArray[Any]:
        """Return the fields as numbers of this type, or what takes as many bytes. A NULL is any number."""
        width = np.dtype(kind).itemsize
        if (np.where(self.present, self.ends - self.begins, width) != width).any():
            raise CopyBroken(f"a field is not of {width} bytes")
        return _numbers(self.data, self.begins, kind)

    def joined(self) -> bytes:
        """Return the bytes of all fields, one after another."""
        places = zip(self.begins.tolist(), self.ends.tolist(), strict=True)
        return b"".join([self.data[begin:end] for begin, end in places])


def decode(rows: Sequence[bytes], types: Sequence[str]) -> list[Any]:
    """Return one Arrow array a column. `types` are keys of `columns.TYPES`. Raises CopyBroken."""
    data = b"".join([*rows, _PAD])
    ends = np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)))
    at = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    if (_numbers(data, at, ">i2") != len(types)).any():
        raise CopyBroken("a row has another count of fields")
    at = at + 2
    arrays = []
    for kind in types:
        fields = _Fields(data, at + 4, _numbers(data, at, ">i4").astype(np.int64))
        if (fields.ends > ends).any():
            raise CopyBroken("a field ends after its row")
        arrays.append(_DECODERS[kind](fields))
        at = fields.ends
    if (at != ends).any():
        raise CopyBroken("a row is longer than its fields")
    return arrays


def _numbers(data: bytes, at: Positions, kind: str) -> NDArray[Any]:
    """Return what begins at each of these places. Equally long rows have it in equal steps, which need no gathering."""
    step = int(at[1] - at[0]) if len(at) > 1 else 0
    if step > 0 and (np.diff(at) == step).all():
        return np.ndarray(len(at), kind, data, int(at[0]), step).copy()
    raw: NDArray[np.uint8] = np.frombuffer(data, np.uint8)[at[:, None] + np.arange(np.dtype(kind).itemsize)]
    return raw.view(kind).ravel()


def _of_numbers(kind: str, arrow: Any) -> Callable[[_Fields], Any]:
    native = np.dtype(kind).newbyteorder("=")
    return lambda fields: pa.array(fields.fixed(kind).astype(native), arrow, mask=~fields.present)


def _times(fields: _Fields) -> Any:
    microseconds = fields.fixed(">i8").astype(np.int64) + _EPOCH
    return pa.array(microseconds, pa.int64(), mask=~fields.present).view(UTC_MICROSECONDS)


def _bytes(fields: _Fields) -> Any:
    return _of_bytes(pa.binary(), fields.joined(), fields.ends - fields.begins, fields.present)


def _texts(fields: _Fields) -> Any:
    return _bytes(fields).view(pa.string())


def _places(fields: _Fields) -> Any:
    """Take a row's place, 32 bits of a block and 16 of an offset, as one number that rises through the table."""
    wide = np.zeros((len(fields.begins), 8), np.uint8)
    wide[:, 2:] = fields.fixed("V6").view(np.uint8).reshape(-1, 6)
    return pa.array(wide.view(">i8").ravel().astype(np.int64), pa.int64(), mask=~fields.present)


def _uuids(fields: _Fields) -> Any:
    digits = _HEX[fields.fixed("V16").view(np.uint8).reshape(-1, 16)].reshape(-1, 32)
    text = np.full((len(digits), 36), ord("-"), np.uint8)
    text[:, _DIGITS] = digits
    return _of_bytes(pa.string(), text.tobytes(), np.full(len(text), 36), fields.present)


_HEX = np.frombuffer(bytes(range(256)).hex().encode(), np.uint8).reshape(256, 2)
_DIGITS = [place for place in range(36) if place not in (8, 13, 18, 23)]


def _of_bytes(arrow: Any, content: bytes, lengths: Positions, present: NDArray[np.bool_]) -> Any:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    bits = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
    return pa.Array.from_buffers(arrow, len(lengths), [bits, pa.py_buffer(offsets), pa.py_buffer(content)])


def _lists_of(decoder: Callable[[_Fields], Any]) -> Callable[[_Fields], Any]:
    def lists(fields: _Fields) -> Any:
        counts, elements = _elements(fields)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        mask = None if fields.present.all() else pa.array(~fields.present)
        return pa.ListArray.from_arrays(pa.array(offsets), decoder(elements), mask=mask)

    return lists


def _elements(fields: _Fields) -> tuple[Positions, _Fields]:
    """Return how many elements each array has, and the elements of all; those of a nested array are in one row.

    An array's head has the number of dimensions, whether elements are NULL, and their type; then for each dimension its
    size and its first index.
    """
    data, present = fields.data, fields.present
    dimensions = np.where(present, _numbers(data, fields.begins, ">i4"), 0).astype(np.int64)
    counts = np.minimum(dimensions, 1)
    for number in range(int(dimensions.max())):
        sizes = _numbers(data, np.where(dimensions > number, fields.begins + 12 + 8 * number, 0), ">i4")
        counts *= np.where(dimensions > number, sizes, 1)
    at = np.where(present, fields.begins + 12 + 8 * dimensions, fields.ends)
    first = np.cumsum(counts) - counts
    begins, lengths = np.empty(counts.sum(), np.int64), np.empty(counts.sum(), np.int64)
    rows, number = np.flatnonzero(counts), 0
    while len(rows) > FEW:
        length = _numbers(data, at[rows], ">i4")
        begins[first[rows] + number], lengths[first[rows] + number] = at[rows] + 4, length
        at[rows] += 4 + np.maximum(length, 0)
        number += 1
        rows = rows[counts[rows] > number]
    for row in rows.tolist():
        place = int(at[row])
        for element in range(int(first[row]) + number, int(first[row] + counts[row])):
            (size,) = unpack_from(">i", data, place)
            begins[element], lengths[element] = place + 4, size
            place += 4 + max(size, 0)
        at[row] = place
    if (at != fields.ends).any():
        raise CopyBroken("an array ends elsewhere than its field")
    return counts, _Fields(data, begins, lengths)


_DECODERS: dict[str, Callable[[_Fields], Any]] = {
    "uuid": _uuids,
    "tid": _places,
    "text": _texts,
    "integer": _of_numbers(">i4", pa.int32()),
    "bigint": _of_numbers(">i8", pa.int64()),
    "double precision": _of_numbers(">f8", pa.float64()),
    "boolean": _of_numbers("?", pa.bool_()),
    "bytea": _bytes,
    "timestamp with time zone": _times,
    "text[]": _lists_of(_texts),
    "double precision[]": _lists_of(_of_numbers(">f8", pa.float64())),
}
