"""Cuts CSV and NDJSON into parts of whole records, without looking at what is in them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

DELIMITERS = (",", ";", "\t", "|")

MAX_EMPTY = 1_000_000
"""Empty lines that are dropped; a file that has more of them is none."""


class Part(NamedTuple):
    """Consecutive records, as a body that can be read by itself: a CSV has its line of names in each."""

    body: bytes
    n_records: int


class RecordTooLarge(ValueError):
    """A record is longer than a part may be. In a CSV, a quote may be opened and never closed."""

    def __init__(self, row: int | None = None) -> None:
        """Give the number of the row, from 1, where it is known; 0 is the line of names."""
        where = {None: "a row", 0: "the line of names"}.get(row, f"row {row}")
        super().__init__(f"{where} is too long for a request; a quote may be opened and never closed")


_STATED = re.compile(r'"?(?i:sep)=([!#-/:-@\[-`{-~\t])"?[ \t]*')  # a sign of ASCII or a tab, and no quote

_FIRST_LINE = re.compile(r"[\r\n]*([^\r\n]{0,65536})")


def delimiter_of(line: str) -> str:
    """Return the delimiter that is most frequent in the line of names, outside quotes."""
    return max(DELIMITERS, key=re.sub(r'"[^"]*"', "", line).count)


def stated_delimiter(line: str) -> str | None:
    """Return the delimiter that a line such as `sep=;` states, which Excel writes above the names; else None."""
    stated = _STATED.fullmatch(line.rstrip("\r\n"))
    return stated[1] if stated else None


def layout(text: str, delimiter: str | None = None) -> tuple[str, int]:
    """Return the delimiter of a CSV, and the place in the text where its line of names begins.

    The delimiter is what a line above the names states, or else the given one, or else that of the line of names.
    """
    first = _first_line(text, 0)
    if stated := stated_delimiter(first[1]):
        return stated, _first_line(text, first.end()).start(1)
    return delimiter or delimiter_of(first[1]), first.start(1)


def _first_line(text: str, place: int) -> re.Match[str]:
    found = _FIRST_LINE.match(text, place)
    assert found is not None  # noqa: S101 - it matches nothing, too
    return found


class RecordSplitter:
    """Takes a file block by block and gives parts of at most so many records and bytes.

    The same content gives the same parts, however it is cut into blocks. A record ends at a line break; in a CSV (with
    `header`), at one outside quotes, which open at the start of a cell only. Empty lines are dropped. A line that
    states the delimiter of a CSV comes before the names in each part.
    """

    def __init__(self, *, header: bool, max_records: int, max_bytes: int, delimiter: str | None = None) -> None:
        """Without a `delimiter`, it is the one of the line of names. One that the file states comes first."""
        self._quoted = header
        self._header: bytes | None = None if header else b""
        self._statement = b""
        self._max_records, self._max_bytes = max_records, max_bytes
        self._delimiter = delimiter
        self._opens = _opening(delimiter or "".join(DELIMITERS))
        self._line: list[bytes] = []
        self._line_size = 0
        self._lines: list[bytes] = []
        self._lines_size = 0
        self._open = False
        self._empty = 0
        self._records: list[bytes] = []
        self._size = 0
        self._n_before = 0

    def feed(self, block: bytes) -> Iterator[Part]:
        """Take a block, and yield the parts that are full with it. Raises RecordTooLarge."""
        first, *lines = block.split(b"\n")
        self._line.append(first)
        self._line_size += len(first)
        if lines:
            *whole, rest = lines
            yield from self._take_line(b"".join(self._line))
            for line in whole:
                yield from self._take_line(line)
            self._line, self._line_size = [rest], len(rest)
        if self._line_size + self._lines_size > self._max_bytes:
            raise RecordTooLarge(self._row())

    def end(self) -> Iterator[Part]:
        """Yield what is left. Raises RecordTooLarge."""
        yield from self._take_line(b"".join(self._line))
        if self._open:
            raise RecordTooLarge(self._row())
        if self._records:
            yield self._part()

    def _row(self) -> int:
        """Return the number of the row that is being read."""
        return 0 if self._header is None else self._n_before + len(self._records) + 1

    def _take_line(self, line: bytes) -> Iterator[Part]:
        if self._quoted and (self._open or b'"' in line):
            self._open = self._is_open_after(line)
            self._lines.append(line)
            self._lines_size += len(line) + 1
            if self._lines_size > self._max_bytes:
                raise RecordTooLarge(self._row())
            if self._open:
                return
            line = b"\n".join(self._lines)
            self._lines, self._lines_size = [], 0
        yield from self._take(line)

    def _is_open_after(self, line: bytes) -> bool:
        place, is_open = 0, self._open
        while True:
            if is_open:
                place = line.find(b'"', place)
                if place < 0:
                    return True
                if line[place + 1 : place + 2] == b'"':
                    place += 2
                else:
                    place, is_open = place + 1, False
            else:
                found = self._opens.search(line, place)
                if found is None:
                    return False
                place, is_open = found.end(), True

    def _take(self, record: bytes) -> Iterator[Part]:
        if not record.strip():
            self._empty += 1
            if self._empty > MAX_EMPTY:
                raise RecordTooLarge(self._row())
            return
        if self._header is None:
            self._take_head(record.removeprefix(b"\xef\xbb\xbf"))
            return
        size = len(record) + 1
        if size + len(self._header) > self._max_bytes:
            raise RecordTooLarge(self._row())
        full = len(self._records) == self._max_records or self._size + size + len(self._header) > self._max_bytes
        if self._records and full:
            yield self._part()
        self._records.append(record)
        self._size += size

    def _take_head(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        if not self._statement and (stated := stated_delimiter(text)):
            self._statement, self._delimiter = line + b"\n", stated
        else:
            self._header = self._statement + line + b"\n"
        self._opens = _opening(self._delimiter or delimiter_of(text))

    def _part(self) -> Part:
        part = Part((self._header or b"") + b"\n".join(self._records) + b"\n", len(self._records))
        self._n_before += len(self._records)
        self._records, self._size = [], 0
        return part


def _opening(delimiters: str) -> re.Pattern[bytes]:
    """Return what opens a quote: it stands at the start of the line, or behind a delimiter."""
    return re.compile(b"(?:\\A|[" + re.escape(delimiters.encode()) + b'])"')
