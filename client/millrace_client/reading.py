"""Reads a file of any format and size as the bodies of requests, in bounded memory."""

import codecs
import csv
import io
import json
import re
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import IO, Any

from millrace_client import formats, tables
from millrace_client.foreign import foreign
from millrace_client.formats import FileFormat
from millrace_client.parts import CannotRead, Columns, FilePart
from millrace_client.reading_tables import parts_of_tables, read_tables
from millrace_client.records import RecordSplitter, RecordTooLarge, delimiter_of, stated_delimiter

BLOCK = 2**20

CONTENT_TYPES = {
    formats.CSV: "text/csv",
    formats.TSV: "text/tab-separated-values",
    formats.NDJSON: "application/x-ndjson",
    formats.JSON: "application/x-ndjson",
    formats.PARQUET: tables.ARROW,
    formats.ARROW: tables.ARROW,
}
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, with whose mark it begins
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_REMEDIES = {
    "parquet": "end its name in .parquet, or name the format parquet",
    "arrow": "end its name in .arrow, or name the format arrow",
    "gzip": "end its name in .gz, or decompress it",
    "zstd": "end its name in .zst, or decompress it",
}


def parts(
    file: IO[bytes], form: FileFormat, columns: Columns, *, max_rows: int, encoding: str | None = None
) -> Iterator[FilePart]:
    """Yield the parts of a file. The same file gives the same parts. Raises CannotRead."""
    kind = CONTENT_TYPES[form.name]
    try:
        if form.name in (formats.PARQUET, formats.ARROW):
            yield from parts_of_tables(read_tables(file, form), columns, max_rows)
            return
        quoted = form.name in (formats.CSV, formats.TSV)
        tab = "\t" if form.name == formats.TSV else None
        blocks = _utf8(file, encoding)
        if form.name == formats.JSON:
            blocks = _elements(blocks, columns)
        elif quoted and not columns.unchanged:
            blocks = _below_statement(blocks, columns, tab)
        elif not columns.unchanged:
            blocks = _lines(blocks, columns)
        splitter = RecordSplitter(header=quoted, max_records=max_rows, max_bytes=tables.MAX_BYTES, delimiter=tab)
        for block in blocks:
            for body, count in splitter.feed(block):
                yield FilePart(body, kind, count)
        for body, count in splitter.end():
            yield FilePart(body, kind, count)
    except (UnicodeError, EOFError, OSError, LookupError, ValueError, RecursionError, csv.Error, zlib.error) as error:
        raise CannotRead(str(error)) from None


def _utf8(file: IO[bytes], encoding: str | None) -> Iterator[bytes]:
    """Yield a text file block by block, in UTF-8: its encoding is given, or told by a byte order mark, or UTF-8."""
    block = file.read(BLOCK)
    if found := foreign(block, _REMEDIES):
        raise CannotRead(f"the file is {found}")
    given = encoding or next((name for mark, name in _MARKS.items() if block.startswith(mark)), None)
    if given is None:
        while block:
            yield block
            block = file.read(BLOCK)
        return
    decoder = codecs.getincrementaldecoder(given)()
    while block:
        yield decoder.decode(block).encode()
        block = file.read(BLOCK)
    yield decoder.decode(b"", final=True).encode()


def _below_statement(blocks: Iterator[bytes], columns: Columns, delimiter: str | None) -> Iterator[bytes]:
    """Rename and leave out the columns of a CSV, below the line that states its delimiter where it has one."""
    line, rest = _first_line(blocks)
    if stated := stated_delimiter(line.decode("utf-8-sig", "replace")):
        yield line
        delimiter = stated
        line, rest = _first_line(rest)
    change = _renamed if columns.kept is None else _chosen
    yield from change(chain([line], rest), columns, delimiter)


def _first_line(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first line that is not empty, with its end, and what follows. Raises RecordTooLarge."""
    head = b""
    for block in blocks:
        head = (head + block).lstrip(b"\r\n")
        if len(head) > tables.MAX_BYTES + BLOCK:
            raise RecordTooLarge
        line, found, rest = head.partition(b"\n")
        if found:
            return line + found, chain([rest], blocks)
    return head, iter(())


def _renamed(blocks: Iterator[bytes], columns: Columns, delimiter: str | None) -> Iterator[bytes]:
    """Replace the line of names of a CSV."""
    line, rest = _first_line(blocks)
    yield _head(line.removesuffix(b"\n").decode("utf-8-sig"), columns, delimiter) + b"\n"
    yield from rest


def _head(line: str, columns: Columns, delimiter: str | None) -> bytes:
    delimiter = delimiter or delimiter_of(line)
    names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="").writerow(columns.names(names))
    return text.getvalue().encode()


def _chosen(blocks: Iterator[bytes], columns: Columns, delimiter: str | None) -> Iterator[bytes]:
    """Leave out the columns of a CSV that are not sent."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    text = (decoder.decode(block) for block in blocks)
    lines = _text_lines(text)
    first = next(lines, "")
    delimiter = delimiter or delimiter_of(first)
    csv.field_size_limit(tables.MAX_BYTES)
    names = columns.names([name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])])
    places = [place for place, name in enumerate(names) if columns.keeps(name)]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow([names[place] for place in places])
    for row in csv.reader(lines, delimiter=delimiter):
        if row:
            uneven = [*row[:1], *[""] * len(places)]  # a cell too many: the server names the row
            writer.writerow([row[place] for place in places] if len(row) == len(names) else uneven)
        if out.tell() > BLOCK:
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()
    yield out.getvalue().encode()


def _text_lines(blocks: Iterator[str]) -> Iterator[str]:
    rest = ""
    for block in blocks:
        *lines, rest = (rest + block).split("\n")
        if len(rest) > tables.MAX_BYTES:
            raise RecordTooLarge
        yield from (f"{line}\n" for line in lines)
    if rest:
        yield rest


def _lines(blocks: Iterator[bytes], columns: Columns) -> Iterator[bytes]:
    """Rename and leave out the members of NDJSON's objects."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > tables.MAX_BYTES:
            raise RecordTooLarge
        yield b"".join(_line(json.loads(line), columns) for line in lines if line.strip())
    if rest.strip():
        yield _line(json.loads(rest), columns)


def _line(row: Any, columns: Columns) -> bytes:
    if isinstance(row, dict) and not columns.unchanged:
        names = columns.names(list(row), all_there=False)
        row = {name: value for name, value in zip(names, row.values(), strict=True) if columns.keeps(name)}
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _elements(blocks: Iterator[bytes], columns: Columns) -> Iterator[bytes]:
    """Turn a JSON array into NDJSON, element by element."""
    decoder, text = json.JSONDecoder(), ""
    utf8 = codecs.getincrementaldecoder("utf-8-sig")()
    begun = False
    for block in blocks:
        text += utf8.decode(block)
        if not begun and text.strip():
            text = text.lstrip()
            if text[0] != "[":
                raise CannotRead("the file is not a JSON array; name the format ndjson for one object a line")
            begun, text = True, text[1:]
        found: list[bytes] = []
        place = 0
        while begun:
            place = _BETWEEN.match(text, place).end()  # type: ignore[union-attr]
            if text.startswith("]", place):
                if text[place + 1 :].strip() or any(utf8.decode(rest).strip() for rest in blocks):
                    raise CannotRead("something follows the end of the JSON array")
                yield b"".join(found)
                return
            try:
                row, end = decoder.raw_decode(text, place)
            except ValueError:
                break  # the rest of it is in the next block
            if end == len(text):
                break  # a number may go on
            found.append(_line(row, columns))
            place = end
        text = text[place:]
        if len(text) > tables.MAX_BYTES + BLOCK:
            raise RecordTooLarge
        yield b"".join(found)
    raise CannotRead("the JSON array is cut off or malformed")


_BETWEEN = re.compile(r"[ \t\r\n,]*")
