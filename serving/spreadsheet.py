"""Turns a CSV file, as spreadsheets of any country and system save it, into one that a CSV reader accepts."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

HEAD = 65_536
"""Bytes in which the line with the names of the columns must end."""

DELIMITERS = (",", ";", "\t", "|")

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, with whose mark it begins
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SEPARATOR = re.compile(r'"?sep=(.)"?[ \t]*(?:\r\n|\r|\n)')


class NotCsv(ValueError):
    """The file cannot be parsed; the message says where and why, and what to do."""


class Sheet:
    """The text of a file in UTF-8, from the line with the names on, and the delimiter of its cells."""

    def __init__(self, file: Path) -> None:
        """Read the file. Raises NotCsv and OSError."""
        text = decoded(file.read_bytes())
        if "\n" not in text:
            text = text.replace("\r", "\n")  # of an old Macintosh
        if stated := _SEPARATOR.match(text):
            text = text[stated.end() :]
        if not text.strip():
            raise NotCsv("the file is empty")
        self.delimiter = stated[1] if stated else _delimiter(text[:HEAD])
        self.content = text.encode()

    def names(self) -> list[str]:
        """Return the names of the columns, without the space around them."""
        return [name.strip() for name in next(self._rows())]

    def uneven(self) -> str | None:
        """Describe the first row with more cells than names, counted from 1 below the names; None: there is none."""
        rows = self._rows()
        names = next(rows)
        try:
            for number, row in enumerate(rows, start=1):
                if len(row) > len(names):
                    found = f"row {number}: it has {len(row)} cells, the line of names has {len(names)}"
                    return f"{found}; put a cell that holds {self.delimiter!r} in quotes, and write 1,234.5 as 1234.5"
        except csv.Error:
            return "a quote is opened and never closed"
        return None

    def _rows(self) -> Iterator[list[str]]:
        csv.field_size_limit(2**31 - 1)
        return csv.reader(io.StringIO(self.content.decode(), newline=""), delimiter=self.delimiter)


def decoded(data: bytes) -> str:
    """Return the text of a file in any of the encodings that spreadsheets save.

    Text that is not Unicode counts as Windows-1252: the columns that trainers use hold ASCII only, so a wrong
    guess about other letters changes nothing.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if b"\0" in data[:4]:
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le", errors="replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _delimiter(head: str) -> str:
    """Return the delimiter that is most frequent in the line of names, outside quotes."""
    line = re.sub(r'"[^"]*"', "", head.lstrip("\r\n").partition("\n")[0])
    return max(DELIMITERS, key=line.count)
