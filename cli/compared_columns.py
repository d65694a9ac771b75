"""Compares the columns of a day's predictions with those of the training, and of the seven days before."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from evaluation.drift import BINS, ColumnDrift, Counted, compare
from evaluation.reference import CATEGORIES, ColumnReference, are_categories, edges_of
from evaluation.reference import read as read_reference
from registry.versions import ModelVersion
from serving.contract import Column, Spec
from store import drift
from store.drift import ColumnRows

DAY, WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True)
class ComparedColumn:
    """A column of one day beside one of its references."""

    version: ModelVersion
    day: date
    column: str
    against: str
    """training, or week."""
    reference: ColumnReference
    now: Counted
    drift: ColumnDrift

    @property
    def row(self) -> dict[str, Any]:
        """The row of the table `drift`."""
        return {
            "model": self.version.model,
            "version": self.version.version,
            "day": self.day,
            "column_name": self.column,
            "against": self.against,
            "rows": self.drift.rows,
            "reference_rows": self.drift.reference_rows,
            "psi": self.drift.psi.value,
            "band": self.drift.psi.limit,
            "jensen_shannon": self.drift.jensen_shannon.value,
            "missing": self.drift.missing.value,
            "unseen": self.drift.unseen.value,
            "found": bool(self.drift.drifted) if self.drift.enough else None,
            "findings": self.drift.drifted,
        }


def compared(engine: Engine, version: ModelVersion, day: date) -> Iterator[ComparedColumn]:
    """Yield each column of a day beside each of its references. Raises NoSpec.

    Inputs are those of all predictions, whichever version made them; the score is the version's own.
    """
    spec = version.spec
    for column in columns_of(spec):
        scorer = version.version if column.name == spec.score else None
        now = ColumnRows(spec.table, column.name, column.kind, day, day + DAY, scorer)
        before = ColumnRows(spec.table, column.name, column.kind, day - WEEK, day, scorer)
        with engine.begin() as connection:
            references = {"training": _training(version, column), "week": _week(connection, before)}
            known = {against: reference for against, reference in references.items() if reference is not None}
            counted = {against: _count(connection, now, reference) for against, reference in known.items()}
        for against, reference in known.items():
            found = compare(reference.counted, counted[against])
            yield ComparedColumn(version, day, column.name, against, reference, counted[against], found)


def columns_of(spec: Spec) -> list[Column]:
    """Return the columns that can be compared: no keys, nothing that people wrote or showed, no lists and times."""
    score = [column for column in spec.output_columns if column.name == spec.score]
    left_out = (spec.key, *spec.personal)
    return [one for one in (*spec.input_columns, *score) if one.kind in drift.VALUES and one.name not in left_out]


def _training(version: ModelVersion, column: Column) -> ColumnReference | None:
    """Return what the version's evaluation holds of the column, if it does."""
    evaluation = version.evaluation
    is_score = column.name == version.spec.score
    held = evaluation.get("scores") if is_score else evaluation.get("reference", {}).get(column.name)
    if held is None or ("categories" in held) != (column.kind == "text"):
        return None
    return read_reference(held)


def _week(connection: Connection, rows: ColumnRows) -> ColumnReference | None:
    """Return what the column was in these days; None: it is free text."""
    if rows.kind != "text":
        found = ColumnReference(Counted([]), edges=edges_of(drift.quantiles(connection, rows, BINS)))
    elif not are_categories(*drift.distinct(connection, rows)):
        return None
    else:
        ranked = drift.most_frequent(connection, rows, CATEGORIES + 1)
        if not are_categories(len(ranked), sum(count for _, count in ranked)):
            return None
        found = ColumnReference(Counted([]), categories=[name for name, _ in ranked])
    return ColumnReference(_count(connection, rows, found), found.edges, found.categories)


def _count(connection: Connection, rows: ColumnRows, reference: ColumnReference) -> Counted:
    if rows.kind == "text":
        counts = drift.count_categories(connection, rows, reference.categories)
        parts = [counts.get(place, 0) for place in range(1, len(reference.categories) + 1)]
        return Counted(parts, counts.get(None, 0), counts.get(0, 0))
    counts = drift.count_numbers(connection, rows, reference.edges)
    return Counted([counts.get(bin, 0) for bin in range(len(reference.edges) + 1)], counts.get(None, 0))
