"""Labelled reports from a CSV or Parquet file, held to the same rules as a report that arrives by HTTP."""

from pathlib import Path

import numpy as np
import polars as pl
from pydantic import TypeAdapter, ValidationError

from models.artifact import sha256
from models.report_scorer.dataset import Array, Dataset
from models.report_scorer.features import FEATURES
from models.report_scorer.spec import SPEC, Report

READERS = {
    # Text first: guessing the types would let one bad cell turn its whole column into text, and hide which cell.
    ".csv": lambda file: pl.read_csv(file, infer_schema=False),
    ".parquet": pl.read_parquet,
}
LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
KINDS = {
    "text": (pl.String(), np.str_, "text"),
    "integer": (pl.Int64(), np.int64, "a whole number"),
    "bigint": (pl.Int64(), np.int64, "a whole number"),
    "double": (pl.Float64(), np.float64, "a number"),
    "boolean": (pl.Boolean(), np.bool_, "true or false"),
}
KIND = {column.name: KINDS[column.kind] for column in SPEC.input_columns}

SLICE = 50_000
"""Rows turned into Python objects at a time, which bounds the memory that the check needs."""


class BadData(ValueError):
    """The file cannot be trained on. The message names the column and the row, counted from 1 below the header."""


def read(file: Path, label: str) -> Dataset:
    """Read the input columns and the label; further columns, `report_id` among them, are left alone."""
    if file.suffix not in READERS:
        raise BadData(f"{file}: the name must end in {' or '.join(READERS)}")
    try:
        frame = READERS[file.suffix](file)
    except FileNotFoundError:
        raise BadData(f"{file}: there is no such file") from None
    except (OSError, pl.exceptions.PolarsError) as broken:
        reason = str(broken).splitlines()[0]  # the rest advises on options of polars
        raise BadData(f"{file}: {reason}") from None
    if label in KIND:
        raise BadData(f"{file}: column {label} is an input and cannot be the label too")
    for name in (*FEATURES, label):
        if name not in frame.columns:
            raise BadData(f"{file}: column {name} is missing; the file has {', '.join(frame.columns)}")
    reports = frame.select(_typed(file, frame[name]) for name in FEATURES)
    _check(file, reports)
    columns: dict[str, Array] = {name: reports[name].to_numpy().astype(KIND[name][1]) for name in FEATURES}
    return Dataset(file.name, sha256(file), columns, _labels(file, frame[label]).to_numpy().astype(np.int64))


def _typed(file: Path, values: pl.Series) -> pl.Series:
    if values.dtype != pl.String:
        return values
    kind, _, words = KIND[values.name]
    typed = values.cast(kind, strict=False)
    _refuse(file, values, typed.is_null() & values.is_not_null(), f"is not {words}")
    return typed


def _labels(file: Path, values: pl.Series) -> pl.Series:
    if values.dtype.is_nested():
        raise BadData(f"{file}: column {values.name} is {values.dtype}; a label is 0 or 1")
    labels = values.cast(pl.String).str.to_lowercase().replace_strict(LABELS, default=None, return_dtype=pl.Int64)
    _refuse(file, values, labels.is_null(), "is not a label; 0 and 1 (or false and true) are")
    return labels


def _refuse(file: Path, values: pl.Series, wrong: pl.Series, why: str) -> None:
    if wrong.any():
        first = wrong.to_list().index(True)
        found = "an empty cell" if values[first] is None else repr(values[first])
        raise BadData(f"{file}, row {first + 1}, column {values.name}: {found} {why}")


def _check(file: Path, reports: pl.DataFrame) -> None:
    """Put every row through the spec, so that training and the handler agree on what a report is."""
    adapter = TypeAdapter(list[Report])
    for number, part in enumerate(reports.iter_slices(SLICE)):
        try:
            adapter.validate_python(part.to_dicts())
        except ValidationError as refusal:
            first = refusal.errors(include_url=False)[0]
            position, column = first["loc"]
            found = "the cell is empty" if first["input"] is None else f"{first['msg']}, found {first['input']!r}"
            row = number * SLICE + int(position) + 1
            raise BadData(f"{file}, row {row}, column {column}: {found}") from None
