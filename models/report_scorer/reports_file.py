"""Labelled reports from a CSV or Parquet file, held to the same rules as a report that arrives by HTTP."""

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import TypeAdapter, ValidationError

from models.report_scorer.dataset import Array, ReportDataset
from models.report_scorer.features import FEATURES
from models.report_scorer.spec import SPEC, Report
from serving import wording
from serving.artifact import sha256
from serving.spreadsheet import NotCsv, Sheet
from serving.training import BadTrainingData
from serving.wording import EXACT

KINDS = {
    "text": (pl.String(), np.str_, "text"),
    "integer": (pl.Int64(), np.int64, "a whole number, as 1234"),
    "bigint": (pl.Int64(), np.int64, "a whole number, as 1234"),
    "double": (pl.Float64(), np.float64, "a number, as 1234.5"),
    "boolean": (pl.Boolean(), np.bool_, "true or false"),
}
KIND = {column.name: KINDS[column.kind] for column in SPEC.input_columns}

TEXTS = {name for name, (kind, _, _) in KIND.items() if kind == pl.String()}
THOUSANDS = r"^\s*[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+\s*$"
"""What may be a number with separators of thousands, or else one with a decimal comma."""

SLICE = 50_000
"""Rows turned into Python objects at a time, which bounds the memory that the check needs."""


@dataclass(frozen=True)
class LabelledRows:
    """The columns that are asked for, and each row's number: from 1 below the names, with the empty rows."""

    file: Path
    columns: pl.DataFrame
    numbers: Sequence[int]

    def refusal(self, place: int, column: str, found: str) -> BadTrainingData:
        return BadTrainingData(f"{self.file}, row {self.numbers[place]}, column {column}: {found}")


def read_reports(file: Path, label: str, weight: str | None = None, split: str | None = None) -> ReportDataset:
    """Read the input columns and the label; further columns, `report_id` among them, are left alone.

    `weight` and `split` name columns with how many reports a row stands for, and with train or test.
    """
    if label in KIND:
        raise BadTrainingData(f"{file}: column {label} is an input and cannot be the label too")
    table = _table(file, [*FEATURES, label, *filter(None, (weight, split))])
    if table.columns.is_empty():
        raise BadTrainingData(f"{file}: there is no row below the names of the columns")
    reports = table.columns.select(_typed(table, name) for name in FEATURES)
    _check(table, reports)
    columns: dict[str, Array] = {name: reports[name].to_numpy().astype(KIND[name][1]) for name in FEATURES}
    labels = _labels(table, label).to_numpy().astype(np.int64)
    weights = None if weight is None else _weights(table, weight)
    held_out = None if split is None else _held_out(table, split)
    return ReportDataset(file.name, sha256(file), columns, labels, None, weights, held_out)


def _table(file: Path, wanted: Sequence[str]) -> LabelledRows:
    read = {".csv": _csv, ".parquet": _parquet}.get(file.suffix.lower())
    if read is None:
        raise BadTrainingData(f"{file}: the name must end in .csv or .parquet")
    try:
        return read(file, wanted)
    except FileNotFoundError:
        raise BadTrainingData(f"{file}: there is no such file") from None
    except NotCsv as wrong:
        raise BadTrainingData(f"{file}: {wrong}") from None
    except OSError as broken:
        raise BadTrainingData(f"{file}: {broken.strerror or broken}") from None
    except pl.exceptions.PolarsError:
        raise BadTrainingData(f"{file}: this is no parquet file, or a damaged one; save it anew") from None


def _parquet(file: Path, wanted: Sequence[str]) -> LabelledRows:
    frame = pl.read_parquet(file)
    _require(file, frame.columns, wanted)
    return LabelledRows(file, frame.select(*dict.fromkeys(wanted)), range(1, len(frame) + 1))


def _csv(file: Path, wanted: Sequence[str]) -> LabelledRows:
    """Read text: guessing the types would let one bad cell turn its whole column into text, and hide which cell."""
    sheet = Sheet(file)
    _require(file, sheet.names, wanted)
    places = {name: sheet.names.index(name) for name in wanted}
    frames, numbers = [], array("q")
    rows = _filled(sheet, numbers)
    while part := list(islice(rows, SLICE)):
        cells = {
            name: [row[place] or None if place < len(row) else None for row in part] for name, place in places.items()
        }
        frames.append(pl.DataFrame(cells, schema=dict.fromkeys(places, pl.String)))
    frame = pl.concat([pl.DataFrame(schema=dict.fromkeys(places, pl.String)), *frames])
    if sheet.delimiter != ",":
        frame = frame.with_columns(_with_points(frame[name]) for name in places if name not in TEXTS)
    return LabelledRows(file, frame, numbers)


def _filled(sheet: Sheet, numbers: "array[int]") -> Iterator[list[str]]:
    """Yield the rows that are not empty, and note their numbers. Raises NotCsv for one with too many cells."""
    for number, row in enumerate(sheet.rows, start=1):
        if (uneven := sheet.uneven(row)) is not None:
            raise NotCsv(f"row {number}: {uneven}")
        if any(map(str.strip, row)):
            numbers.append(number)
            yield row


def _require(file: Path, names: Sequence[str], wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in names:
            found = ", ".join(one if one.isprintable() else ascii(one) for one in names)
            raise BadTrainingData(f"{file}: column {name} is missing; the file has {found}")
        if names.count(name) > 1:
            raise BadTrainingData(f"{file}: column {name} comes twice; remove one")


def _with_points(values: pl.Series) -> pl.Series:
    """Turn a column's decimal commas into points, where it is certain that they are decimal."""
    commas = values.filter(values.str.contains(",", literal=True))
    is_decimal = not commas.str.contains(THOUSANDS).all() and not values.str.contains(".", literal=True).any()
    return values.str.replace(",", ".", literal=True) if is_decimal else values


def _typed(table: LabelledRows, name: str) -> pl.Series:
    kind, _, words = KIND[name]
    values = table.columns[name]
    if kind != pl.String():
        values = _stripped(values)
    if values.dtype not in (pl.String, pl.Float32, pl.Float64) or values.dtype == kind:
        return values
    typed = values.cast(kind, strict=False)
    if kind == pl.Int64():
        numbers = values.cast(pl.Float64(), strict=False)  # 3.0, which a column with a gap has become in many programs
        is_whole = (numbers == numbers.round()) & (numbers.abs() < EXACT)
        whole = numbers.set(~is_whole.fill_null(value=False), None).cast(kind)
        typed = (typed if values.dtype == pl.String else whole).fill_null(whole)
    _refuse(table, values, typed.is_null() & values.is_not_null(), f"is not {words}")
    return typed


def _stripped(values: pl.Series) -> pl.Series:
    """Return texts without the space around them, and none for an empty one."""
    if values.dtype != pl.String:
        return values
    text = values.str.strip_chars()
    return text.set(text == "", None)


def _labels(table: LabelledRows, name: str) -> pl.Series:
    values = _stripped(table.columns[name])
    if values.dtype.is_nested():
        raise BadTrainingData(f"{table.file}: column {name} is {values.dtype}; a label is 0 or 1")
    text = values.cast(pl.String).str.to_lowercase()
    numbers = text.cast(pl.Float64, strict=False)  # 1.0 as well, as for the inputs
    words = text.replace_strict({"false": 0, "true": 1}, default=None, return_dtype=pl.Int64)
    labels = words.fill_null(numbers.set(~numbers.is_in([0.0, 1.0]).fill_null(value=False), None).cast(pl.Int64))
    _refuse(table, values, labels.is_null(), "is not a label; 0 and 1 (or false and true) are")
    return labels


def _weights(table: LabelledRows, name: str) -> Array:
    values = _stripped(table.columns[name])
    numbers = values.cast(pl.Float64(), strict=False)
    is_weight = (numbers.is_finite() & (numbers > 0)).fill_null(value=False)
    _refuse(table, values, ~is_weight, "is no weight; write 1 or 2.5")
    return numbers.to_numpy()


def _held_out(table: LabelledRows, name: str) -> Array:
    values = _stripped(table.columns[name])
    parts = values.cast(pl.String)
    _refuse(table, values, ~parts.is_in(["train", "test"]).fill_null(value=False), "is no part; write train or test")
    return (parts == "test").to_numpy()


def _refuse(table: LabelledRows, values: pl.Series, wrong: pl.Series, why: str) -> None:
    if wrong.any():
        first = wrong.to_list().index(True)
        found = "an empty cell" if values[first] is None else repr(values[first])
        if why.startswith("is not a") and re.search(r"[0-9][.,' \u00a0\u202f][0-9]", str(values[first])):
            why += "; write numbers with a decimal point and without separators of thousands"
        raise table.refusal(first, values.name, f"{found} {why}")


def _check(table: LabelledRows, reports: pl.DataFrame) -> None:
    """Put every row through the spec, so that training and the handler agree on what a report is."""
    adapter = TypeAdapter(list[Report])
    for number, part in enumerate(reports.iter_slices(SLICE)):
        try:
            adapter.validate_python(part.to_dicts())
        except ValidationError as refusal:
            first = refusal.errors(include_url=False)[0]
            position, column = first["loc"]
            found = "the cell is empty" if first["input"] is None else wording.words(first, Report, as_text=True)
            raise table.refusal(number * SLICE + int(position), str(column), found) from None
