"""Reads the rows of a CSV body. Cells get the types of the model's schema: `00123` stays a text where it says text."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
from millrace_client.foreign import foreign

from handler.problems import ProblemKind, RequestRefused
from handler.submit.table import Table
from serving.contract import Column, Spec
from serving.spreadsheet import NotCsv, rows_of
from store import timestamps

CHARSETS = re.compile(
    r"utf[-_]?(8|16|32)([-_]?(le|be))?|(iso[-_]?)?8859[-_]\d+|latin[-_]?1|(us-)?ascii|(windows-|cp)\d+|mac[-_]?roman"
)
"""The names of encodings of whole texts. Python knows others, some of which take hours for a body."""

NULLS = frozenset({"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"})
"""The cells that are null where the schema allows null."""


def read_csv(content: bytes, charset: str, delimiter: str | None, spec: Spec) -> Table:
    """Return the rows below the line of names. Raises RequestRefused.

    A line `sep=;` above the names states the delimiter. Without one and without a `delimiter`, it is the most frequent
    one in the line of names. With a semicolon, a comma may stand for the decimal point, as spreadsheets of many
    countries write it.
    """
    require_text(content)
    delimiter, found_rows = rows_of(_decoded(content, charset), delimiter)
    try:
        names = [name.strip() for name in next(found_rows, [])]
        columns = _columns(names, spec)
        rows = list(islice(filter(None, found_rows), spec.max_inputs + 1))
    except NotCsv as wrong:
        raise _refused(f"The CSV is {wrong}.") from None
    if len(rows) > spec.max_inputs:
        detail = f"More than {spec.max_inputs} inputs, which is the limit; split them into several submissions."
        raise RequestRefused(ProblemKind.TOO_MANY_INPUTS, detail)
    faults = {position: _uneven(row, names, delimiter) for position, row in enumerate(rows) if len(row) != len(names)}
    for position in faults:
        rows[position] = [""] * len(names)
    cells: Iterator[Sequence[str]] = zip(*rows, strict=True) if rows else iter([()] * len(names))
    read = {name: _read(column, one, delimiter) for (name, column), one in zip(columns.items(), cells, strict=True)}
    return Table(read, len(rows), faults)


def require_text(content: bytes) -> None:
    """Raise RequestRefused for a body that begins as a workbook, an archive or another file that is no text."""
    if found := foreign(content, {"gzip": "decompress it, or send Content-Encoding: gzip"}):
        raise _refused(f"The body is {found}.")


def _decoded(content: bytes, charset: str) -> str:
    """Return the text: UTF-8, or what the content type's charset or a byte order mark says."""
    given = charset or ("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
    if not CHARSETS.fullmatch(given.lower()):
        raise _refused(f"The charset {given[:40]!r} of the Content-Type is not supported; send UTF-8.")
    try:
        return content.decode("utf-8-sig" if given.lower().replace("_", "-") in ("utf-8", "utf8") else given)
    except LookupError:
        detail = f"The charset {given[:40]!r} of the Content-Type is unknown; send UTF-8."
    except UnicodeError:
        detail = f"The body is not {given[:40]}; send UTF-8, or name its encoding: text/csv; charset=cp1252."
    raise _refused(detail)


def _columns(names: Sequence[str], spec: Spec) -> dict[str, Column]:
    known = {spec.public_names[column.name]: column for column in spec.input_columns}
    if not any(names):
        raise _refused("The body is empty; send a line with the names of the columns, then a line for each input.")
    if unknown := [name for name in names if name not in known]:
        raise _refused(f"Unknown column {unknown[0][:64]!r}; the columns are {', '.join(known)}.")
    if len(set(names)) < len(names):
        raise _refused("A column is repeated in the line of names; send each once.")
    return {name: known[name] for name in names}


def _uneven(row: Sequence[str], names: Sequence[str], delimiter: str) -> str:
    count = f"It has {len(row)} cells, and the line of names has {len(names)}"
    return f"{count}; put a cell that holds {delimiter!r} in quotes"


def _read(column: Column, cells: Sequence[str], delimiter: str) -> list[Any]:
    kind = column.kind
    whole = _WHOLE.get(kind)
    if whole is not None and _holds_only("\n".join(cells), whole[0]):
        try:
            return list(map(whole[1], cells))
        except ValueError:
            pass  # an empty cell, or a text that is made of these characters and no number
    read = _READERS.get(kind, _as_it_is)
    if kind == "double" and delimiter == ";":
        read = _number_with_comma
    if column.nullable:
        return [None if cell in NULLS or cell.strip() in NULLS else read(cell) for cell in cells]
    return list(map(read, cells)) if read is not _as_it_is else list(cells)


def _holds_only(text: str, characters: bytes) -> bool:
    return text.isascii() and not text.encode().translate(None, characters)


_WHOLE: Mapping[str, tuple[bytes, Callable[[str], Any]]] = {
    "integer": (b"0123456789-\n", int),
    "bigint": (b"0123456789-\n", int),
    "double": (b"0123456789.-+eE\n", float),
}
"""Whole columns of numbers are read at a tenth of the cost, where these characters are all that they have."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}(\.0{1,9})?")
_NUMBER = re.compile(r"[+-]?([0-9]{1,330}(\.[0-9]{0,330})?|\.[0-9]{1,330})([eE][+-]?[0-9]{1,3})?")
_COMMA = re.compile(r"[+-]?[0-9]{1,330},[0-9]{1,330}")


# What a reader does not understand stays a text: the schema's own message says what it must be.
def _as_it_is(cell: str) -> Any:
    return cell


def _integer(cell: str) -> Any:
    text = cell.strip()
    return int(text.partition(".")[0]) if _INTEGER.fullmatch(text) else cell


def _number(cell: str) -> Any:
    text = cell.strip()
    return float(text) if _NUMBER.fullmatch(text) else cell


def _number_with_comma(cell: str) -> Any:
    text = cell.strip()
    return float(text.replace(",", ".")) if _COMMA.fullmatch(text) else _number(cell)


def _boolean(cell: str) -> Any:
    return _BOOLEANS.get(cell.strip().lower(), cell)


def _time(cell: str) -> Any:
    try:
        return timestamps.parse(cell).isoformat()
    except timestamps.InvalidTime:
        return cell


def _array(cell: str) -> Any:
    try:
        return msgspec.json.decode(cell)
    except (ValueError, RecursionError):
        return cell


_BOOLEANS = {**dict.fromkeys(("true", "t", "yes", "1"), True), **dict.fromkeys(("false", "f", "no", "0"), False)}
_READERS: Mapping[str, Callable[[str], Any]] = {
    "integer": _integer,
    "bigint": _integer,
    "double": _number,
    "boolean": _boolean,
    "timestamp": _time,
    "double[]": _array,
}


def _refused(detail: str) -> RequestRefused:
    return RequestRefused(ProblemKind.INVALID_INPUT, detail)
