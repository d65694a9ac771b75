"""Reads a sample of rows, CSV, NDJSON or Parquet, and what it says of each column."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from millrace_client.foreign import foreign
from millrace_client.records import layout

from registry.inspection.proposal import ModelRefused
from serving.contract import MAX_BIGINT, Kind
from serving.spreadsheet import NotCsv, records

MAX_ROWS = 100_000
"""Rows that are read; more say nothing new of kinds and ranges."""

HEAD = 65_536
"""Characters in which the line with the names of the columns must end."""

MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"})
"""How a CSV says that a value is missing, as pandas reads it."""

_BOOLEANS = {"true": True, "false": False, "True": True, "False": False}
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class SampleColumn:
    kind: Kind
    values: list[Any]
    """With None for what is missing."""

    @property
    def nullable(self) -> bool:
        return None in self.values

    @property
    def present(self) -> list[Any]:
        return [value for value in self.values if value is not None]


Sample = dict[str, SampleColumn]


def read_sample(file: Path) -> Sample:
    """Return the columns of a file, by its content's form. Raises ModelRefused."""
    try:
        with file.open("rb") as content:
            head = content.read(8)
        if head[:4] == b"PAR1":
            columns = _parquet(file)
        elif head[:1] == b"{":
            columns = _ndjson(file)
        elif found := foreign(head):
            raise ModelRefused(f"{file.name}: this is {found}")
        else:
            columns = _csv(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ModelRefused(f"{file.name}: the sample cannot be read as UTF-8 text: {error}") from None
    if not columns or not next(iter(columns.values())):
        raise ModelRefused(f"{file.name}: the sample has no rows; give it some, with a header")
    return {name: _column(file, name, values) for name, values in columns.items()}


def _csv(file: Path) -> dict[str, list[Any]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        delimiter, start = layout(lines.read(HEAD))
        lines.seek(0)
        before = len(lines.read(start).splitlines())
        try:
            return _table(file, records(lines, delimiter, before), delimiter, before)
        except NotCsv as wrong:
            raise ModelRefused(f"{file.name}: {wrong}") from None


def _table(file: Path, rows: Iterator[list[str]], delimiter: str, before: int) -> dict[str, list[Any]]:
    header = next(rows, [])
    _check_names(file, header)
    found: list[list[Any]] = [[] for _ in header]
    for number, row in enumerate(islice(rows, MAX_ROWS), start=before + 2):
        if not row:
            continue
        if len(row) != len(header):
            raise ModelRefused(f"{file.name}: line {number} has {len(row)} values, the header {len(header)}")
        for column, text in zip(found, row, strict=True):
            column.append(None if text.strip() in MISSING else text)
    decimal = "," if delimiter == ";" else "."
    return {name: _parsed(column, decimal) for name, column in zip(header, found, strict=True)}


def _parsed(texts: list[Any], decimal: str) -> list[Any]:
    """Return a CSV column's values in the narrowest type that all have; `decimal` may stand for a number's point."""
    present = [text for text in texts if text is not None]
    if present and all(text in _BOOLEANS for text in present):
        return [None if text is None else _BOOLEANS[text] for text in texts]
    if present and all(_WHOLE.fullmatch(text.strip()) for text in present):
        return [None if text is None else int(text) for text in texts]
    numbers = [text if text is None else text.strip().replace(decimal, ".") for text in texts]
    if present and all(_NUMBER.fullmatch(number) for number in numbers if number is not None):
        return [None if number is None else float(number) for number in numbers]
    return texts


def _ndjson(file: Path) -> dict[str, list[Any]]:
    rows = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(islice(lines, MAX_ROWS), start=1):
            if line.strip():
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    row = None
                if not isinstance(row, dict):
                    raise ModelRefused(f"{file.name}: line {number} is not a JSON object; NDJSON has one a line")
                rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    _check_names(file, names)
    return {name: [row.get(name) for row in rows] for name in names}


def _parquet(file: Path) -> dict[str, list[Any]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise ModelRefused(
            f"{file.name}: reading Parquet needs pyarrow: pip install pyarrow, or give the sample as CSV"
        ) from None
    try:
        table = parquet.read_table(file).slice(0, MAX_ROWS)
    except Exception as error:
        raise ModelRefused(f"{file.name}: not a Parquet file: {error}") from None
    _check_names(file, table.column_names)
    return {name: table.column(name).to_pylist() for name in table.column_names}


MAX_NAME = 200
MAX_COLUMNS = 1_500
"""PostgreSQL keeps 1,600 columns in a table, of which some are the platform's."""


def _check_names(file: Path, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise ModelRefused(f"{file.name}: two columns are called {twice[:40]!r}; rename one of them")
    check_names(file.name, names)


def check_names(where: str, names: Iterable[str]) -> None:
    """Refuse names that a person could not read or write. Raises ModelRefused."""
    found = list(names)
    if len(found) > MAX_COLUMNS:
        raise ModelRefused(f"{where}: {len(found):,} columns; a table has {MAX_COLUMNS:,} at most: use fewer features")
    for name in found:
        if not name.strip() or len(name) > MAX_NAME:
            raise ModelRefused(f"{where}: a column's name has {len(name)} characters; give it 1 to {MAX_NAME}")
        if '"' in name or "\\" in name:
            raise ModelRefused(f"{where}: the name {name[:60]!r} has a quote or a backslash; rename the column")
        if not name.isprintable():
            raise ModelRefused(f"{where}: the name {ascii(name)[:60]} has an invisible character; rename the column")


def _column(file: Path, name: str, values: list[Any]) -> SampleColumn:
    values = [None if isinstance(value, float) and value != value else value for value in values]
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return SampleColumn("boolean" if kinds else "double", values)
    if kinds == {int}:
        if any(abs(value) > MAX_BIGINT for value in values if value is not None):
            raise ModelRefused(f"{file.name}: {name} has a number of more than 64 bits")
        return SampleColumn("bigint", values)
    if kinds <= {int, float}:
        return SampleColumn("double", [None if value is None else float(value) for value in values])
    if kinds == {datetime}:
        return SampleColumn("timestamp", [value and value.isoformat() for value in values])
    if kinds == {str}:
        return SampleColumn("timestamp" if _all_times(values) else "text", values)
    shown = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise ModelRefused(f"{file.name}: {name} holds values of several kinds or of one that no column keeps: {shown}")


def _all_times(values: list[Any]) -> bool:
    """Return whether all texts are times with an offset."""
    for value in values:
        if value is not None:
            try:
                if len(value) < 16 or datetime.fromisoformat(value).tzinfo is None:
                    return False
            except ValueError:
                return False
    return True
