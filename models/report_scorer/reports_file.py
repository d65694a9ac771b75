"""Labelled reports from a CSV or Parquet file, held to the same rules as a report that arrives by HTTP."""

import re
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

LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
KINDS = {
    "text": (pl.String(), np.str_, "text"),
    "integer": (pl.Int64(), np.int64, "a whole number, as 1234"),
    "bigint": (pl.Int64(), np.int64, "a whole number, as 1234"),
    "double": (pl.Float64(), np.float64, "a number, as 1234.5"),
    "boolean": (pl.Boolean(), np.bool_, "true or false"),
}
KIND = {column.name: KINDS[column.kind] for column in SPEC.input_columns}

NUMBERS = {name for name, (kind, _, _) in KIND.items() if kind.is_numeric()}
THOUSANDS = r"^\s*[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+\s*$"
"""What may be a number with separators of thousands, or else one with a decimal comma."""

SLICE = 50_000
"""Rows turned into Python objects at a time, which bounds the memory that the check needs."""


def read_reports(file: Path, label: str, weight: str | None = None, split: str | None = None) -> ReportDataset:
    """Read the input columns and the label; further columns, `report_id` among them, are left alone.

    `weight` and `split` name columns with how many reports a row stands for, and with train or test.
    """
    frame = _frame(file)
    if label in KIND:
        raise BadTrainingData(f"{file}: column {label} is an input and cannot be the label too")
    for name in (*FEATURES, label, *filter(None, (weight, split))):
        if name not in frame.columns:
            raise BadTrainingData(f"{file}: column {name} is missing; the file has {', '.join(frame.columns)}")
    if frame.is_empty():
        raise BadTrainingData(f"{file}: there is no row below the names of the columns")
    reports = frame.select(_typed(file, frame[name]) for name in FEATURES)
    _check(file, reports)
    columns: dict[str, Array] = {name: reports[name].to_numpy().astype(KIND[name][1]) for name in FEATURES}
    labels = _labels(file, frame[label]).to_numpy().astype(np.int64)
    weights = None if weight is None else _weights(file, frame[weight])
    held_out = None if split is None else _held_out(file, frame[split])
    return ReportDataset(file.name, sha256(file), columns, labels, None, weights, held_out)


def _frame(file: Path) -> pl.DataFrame:
    if file.suffix not in (".csv", ".parquet"):
        raise BadTrainingData(f"{file}: the name must end in .csv or .parquet")
    try:
        return _csv(file) if file.suffix == ".csv" else pl.read_parquet(file)
    except FileNotFoundError:
        raise BadTrainingData(f"{file}: there is no such file") from None
    except NotCsv as wrong:
        raise BadTrainingData(f"{file}: {wrong}") from None
    except OSError as broken:
        raise BadTrainingData(f"{file}: {broken.strerror or broken}") from None
    except pl.exceptions.PolarsError:
        raise BadTrainingData(f"{file}: this is no {file.suffix[1:]} file, or a damaged one; save it anew") from None


def _csv(file: Path) -> pl.DataFrame:
    """Read text: guessing the types would let one bad cell turn its whole column into text, and hide which cell."""
    sheet = Sheet(file)
    names = sheet.names()
    for name in (*FEATURES, "label"):
        if names.count(name) > 1:
            raise NotCsv(f"column {name} comes twice; remove one")
    try:
        frame = pl.read_csv(sheet.content, infer_schema=False, separator=sheet.delimiter)
    except pl.exceptions.PolarsError:
        raise NotCsv(sheet.uneven() or "this is no CSV file, or a damaged one; save it anew") from None
    frame.columns = [name.strip() for name in frame.columns]
    if sheet.delimiter != ",":
        return frame.with_columns(map(_with_points, frame.select(NUMBERS & set(frame.columns))))
    return frame


def _with_points(values: pl.Series) -> pl.Series:
    """Turn a column's decimal commas into points, where it is certain that they are decimal."""
    commas = values.filter(values.str.contains(",", literal=True))
    is_decimal = not commas.str.contains(THOUSANDS).all() and not values.str.contains(".", literal=True).any()
    return values.str.replace(",", ".", literal=True) if is_decimal else values


def _typed(file: Path, values: pl.Series) -> pl.Series:
    kind, _, words = KIND[values.name]
    if values.dtype == pl.String and kind != pl.String():
        text = values.str.strip_chars()
        values = text.set(text == "", None)
    if values.dtype not in (pl.String, pl.Float32, pl.Float64) or values.dtype == kind:
        return values
    typed = values.cast(kind, strict=False)
    if kind == pl.Int64():
        numbers = values.cast(pl.Float64(), strict=False)  # 3.0, which a column with a gap has become in many programs
        is_whole = (numbers == numbers.round()) & (numbers.abs() < EXACT)
        whole = numbers.set(~is_whole.fill_null(value=False), None).cast(kind)
        typed = (typed if values.dtype == pl.String else whole).fill_null(whole)
    _refuse(file, values, typed.is_null() & values.is_not_null(), f"is not {words}")
    return typed


def _labels(file: Path, values: pl.Series) -> pl.Series:
    if values.dtype.is_nested():
        raise BadTrainingData(f"{file}: column {values.name} is {values.dtype}; a label is 0 or 1")
    labels = values.cast(pl.String).str.to_lowercase().replace_strict(LABELS, default=None, return_dtype=pl.Int64)
    _refuse(file, values, labels.is_null(), "is not a label; 0 and 1 (or false and true) are")
    return labels


def _weights(file: Path, values: pl.Series) -> Array:
    numbers = values.cast(pl.Float64(), strict=False)
    _refuse(file, values, ~(numbers.is_finite() & (numbers > 0)).fill_null(value=False), "is no weight; write 1 or 2.5")
    return numbers.to_numpy()


def _held_out(file: Path, values: pl.Series) -> Array:
    parts = values.cast(pl.String)
    _refuse(file, values, ~parts.is_in(["train", "test"]).fill_null(value=False), "is no part; write train or test")
    return (parts == "test").to_numpy()


def _refuse(file: Path, values: pl.Series, wrong: pl.Series, why: str) -> None:
    if wrong.any():
        first = wrong.to_list().index(True)
        found = "an empty cell" if values[first] is None else repr(values[first])
        if why.startswith("is not a") and re.search(r"[0-9][.,' \u00a0\u202f][0-9]", str(values[first])):
            why += "; write numbers with a decimal point and without separators of thousands"
        raise BadTrainingData(f"{file}, row {first + 1}, column {values.name}: {found} {why}")


def _check(file: Path, reports: pl.DataFrame) -> None:
    """Put every row through the spec, so that training and the handler agree on what a report is."""
    adapter = TypeAdapter(list[Report])
    for number, part in enumerate(reports.iter_slices(SLICE)):
        try:
            adapter.validate_python(part.to_dicts())
        except ValidationError as refusal:
            first = refusal.errors(include_url=False)[0]
            position, column = first["loc"]
            found = "the cell is empty" if first["input"] is None else wording.words(first, Report, as_text=True)
            row = number * SLICE + int(position) + 1
            raise BadTrainingData(f"{file}, row {row}, column {column}: {found}") from None
