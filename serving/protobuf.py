"""Walks through Protocol Buffers without a library: it reads no more of a file than what leads to what is looked for.

https://protobuf.dev/programming-guides/encoding/ has the format.
"""

import mmap
from collections.abc import Iterator, Mapping
from typing import NamedTuple

MAX_DEPTH = 100
"""Of messages within messages, as protobuf's own parsers have it."""

MAX_FIELDS = 20_000_000
"""Of a file: some ten seconds. A forest of a million nodes has half as many."""

_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
"""Bytes of a number of fixed size, by the type of the field."""


class Malformed(ValueError):
    """The bytes are no message, or one that is made to take long; the message says where or why."""


class Field(NamedTuple):
    number: int
    value: int
    """Of a varint; otherwise 0."""
    start: int
    end: int
    """The bytes of a text, of a message or of packed numbers; empty for a varint."""


class MessageReader:
    """Reads the messages of one file, and no more than MAX_FIELDS of their fields."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._read = 0

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Yield the fields of the message from start to end. Raises Malformed."""
        at = start
        while at < end:
            self._read += 1
            if self._read > MAX_FIELDS:
                raise Malformed(f"more than {MAX_FIELDS:,} fields")
            tag, at = _varint(self._content, at, end)
            number, wire = tag >> 3, tag & 7
            if number == 0:
                raise Malformed(f"a field of number 0 at byte {at:,}")
            if wire == _VARINT:
                value, at = _varint(self._content, at, end)
                yield Field(number, value, at, at)
                continue
            if wire == _BYTES:
                size, at = _varint(self._content, at, end)
            elif wire in _FIXED:
                size = _FIXED[wire]
            else:
                raise Malformed(f"a field of type {wire} at byte {at:,}")
            if size > end - at:
                raise Malformed(f"a field beyond its message's end at byte {at:,}")
            if wire == _BYTES:
                yield Field(number, 0, at, at + size)
            at += size

    def found(self, message: str, sought: str, leads: Mapping[str, Mapping[int, str]]) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of each message of the type `sought` within the file's, which is of the type `message`.

        `leads` says, by the type of a message, which of its fields are messages that lead there. Raises Malformed.
        """
        waiting = [(message, 0, len(self._content), 0)]
        while waiting:
            within, start, end, depth = waiting.pop()
            if within == sought:
                yield start, end
                continue
            if depth > MAX_DEPTH:
                raise Malformed(f"messages within messages, {MAX_DEPTH} deep")
            waiting += [
                (kind, field.start, field.end, depth + 1)
                for field in self.fields(start, end)
                if field.end > field.start and (kind := leads[within].get(field.number)) is not None
            ]

    def numbers(self, field: Field) -> Iterator[int]:
        """Yield the numbers of a repeated field, which may be packed."""
        if field.start == field.end:
            yield field.value
        at = field.start
        while at < field.end:
            value, at = _varint(self._content, at, field.end)
            yield value

    def text(self, field: Field) -> str:
        return self._content[field.start : field.end].decode("utf-8", "replace")


def _varint(content: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Return a number and where it ends."""
    value = shift = 0
    while at < end and shift < 70:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
        shift += 7
    raise Malformed(f"a number without an end at byte {at:,}")
