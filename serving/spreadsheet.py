"""Reads the rows of a CSV, as spreadsheets of any country and system save it."""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from millrace_client.foreign import foreign
from millrace_client.records import layout

csv.field_size_limit(2**31 - 1)  # of the whole process; files and bodies are bounded

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, with whose mark it begins
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class NotCsv(ValueError):
    """The file cannot be parsed; the message says where and why, and what to do."""


class Sheet:
    """A CSV file: the names of its columns, without the space around them, the rows below, and the delimiter."""

    def __init__(self, file: Path) -> None:
        """Read the file. Raises NotCsv and OSError."""
        content = file.read_bytes()
        if found := foreign(content, {"parquet": "end its name in .parquet"}):
            raise NotCsv(f"this is {found}")
        text = decoded(content)
        if "\n" not in text:
            text = text.replace("\r", "\n")  # of an old Macintosh
        self.delimiter, self.rows = rows_of(text)
        self.names = [name.strip() for name in next(self.rows, [])]
        if not any(self.names):
            raise NotCsv("the file is empty")

    def uneven(self, row: list[str]) -> str | None:
        """Describe a row with more cells than names; None: it has no more."""
        if len(row) <= len(self.names):
            return None
        found = f"it has {len(row)} cells, the line of names has {len(self.names)}"
        return f"{found}; put a cell that holds {self.delimiter!r} in quotes, and write 1,234.5 as 1234.5"


def rows_of(text: str, delimiter: str | None = None) -> tuple[str, Iterator[list[str]]]:
    """Return the delimiter of a CSV, and its rows from the line of names on, which `records` yields.

    A line above the names may state the delimiter. Without one and without a `delimiter`, the line of names tells it.
    """
    delimiter, start = layout(text, delimiter)
    lines = io.StringIO(text, newline="")
    lines.seek(start)
    before = max(text.count(end, 0, start) for end in "\r\n")
    return delimiter, records(lines, delimiter, before)


def records(lines: Iterable[str], delimiter: str, before: int = 0) -> Iterator[list[str]]:
    """Yield rows, an empty one for an empty line. Raises NotCsv, which counts lines from those `before` these."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    begun = 1
    try:
        for row in reader:
            yield row
            begun = reader.line_num + 1
    except csv.Error as error:
        fault = "a quote is opened and never closed" if "end of data" in str(error) else "a quote stands inside a cell"
        raise NotCsv(f"malformed near line {before + begun}: {fault}") from None


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
