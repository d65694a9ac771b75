"""What figures are grouped by: all, version, week, client, and slices of any column."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from cli.evaluate.coded import CodedColumn
from cli.evaluate.population import Population
from evaluation.linear import Flags, Floats
from serving.contract import Spec

ALL, VERSION, WEEK, CLIENT, SLICE = "all", "version", "week", "client", "slice"

DAY = 86_400.0
"""Seconds."""

MOST = 20
"""Categories of a slice that are told apart, the most frequent first; and different numbers that are not yet ranges."""

RANGES = 4
"""A column with more different numbers is cut into so many ranges of equally many predictions."""

NONE, OTHER = "(none)", "(other)"

_EXPRESSIONS = {VERSION: ("p.model_version", "text"), WEEK: None, CLIENT: ("t.client", "text")}
_NUMBERS, _NAMES = {"integer", "bigint", "double"}, {"text", "boolean"}


class UnknownGrouping(Exception):
    """The message says which words there are."""


@dataclass(frozen=True)
class Grouping:
    """A way to group predictions. `name` is one of the words above, or slice:COLUMN by its public name."""

    name: str
    expression: tuple[str, str] | None
    """In SQL, with its type; None: it follows from when predictions were scored."""

    def groups(self, population: Population) -> Iterator[tuple[str, Flags]]:
        """Yield each group's name and rows: weeks and ranges in their order, categories by how many there are."""
        if self.expression is None:
            yield from _of_weeks(population.scored_at)
            return
        values = population.columns[self.name]
        if isinstance(values, CodedColumn):
            yield from _of_names(values, in_order=self.name == VERSION)
        else:
            yield from _of_numbers(values.astype(np.float64))


def groupings(spec: Spec, asked: Sequence[str]) -> list[Grouping]:
    """Return what these words name. Raises UnknownGrouping.

    Keys and what people wrote are no slices: the names of the groups are stored, and erasure does not look for them.
    """
    return [_grouping(spec, word) for word in dict.fromkeys(asked)]


def _grouping(spec: Spec, word: str) -> Grouping:
    if word in _EXPRESSIONS:
        return Grouping(word, _EXPRESSIONS[word])
    columns = {
        spec.public_names[column.name]: column
        for column in (*spec.input_columns, *spec.output_columns)
        if column.kind in _NUMBERS | _NAMES and column.name not in (spec.key, *spec.personal)
    }
    kind, _, name = word.partition(":")
    if kind != SLICE or name not in columns:
        words = ", ".join([*_EXPRESSIONS, *(f"{SLICE}:{name}" for name in columns)])
        raise UnknownGrouping(f"{word!r} is none of {words}")
    column = columns[name]
    is_number = column.kind in _NUMBERS
    return Grouping(word, (f'p."{column.name}"', "double precision" if is_number else "text"))


def _of_weeks(scored_at: Floats) -> Iterator[tuple[str, Flags]]:
    """Yield weeks by their Mondays; 1970-01-01 was a Thursday."""
    weeks = np.floor((scored_at + 3 * DAY) / (7 * DAY)).astype(np.int32)
    first = int(weeks.min()) if len(weeks) else 0
    for number in np.flatnonzero(np.bincount(weeks - first)).tolist():
        yield str(date(1970, 1, 1) + timedelta(days=7 * (first + number) - 3)), weeks == first + number


def _of_names(values: CodedColumn, *, in_order: bool) -> Iterator[tuple[str, Flags]]:
    codes, names = values.codes, values.names
    if (codes < 0).any():
        names = names if NONE in names else [*names, NONE]
        codes = np.where(codes < 0, np.int32(names.index(NONE)), codes)
    counts = np.bincount(codes, minlength=len(names)).tolist()
    there = [number for number, count in enumerate(counts) if count]
    order = sorted(there, key=lambda number: names[number] if in_order else (-counts[number], names[number]))
    kept = order if in_order else order[:MOST]
    for number in kept:
        yield names[number], codes == number
    if len(kept) < len(order):
        yield OTHER, ~np.isin(codes, kept)


def _of_numbers(values: NDArray[np.float64]) -> Iterator[tuple[str, Flags]]:
    present = values[~np.isnan(values)]
    distinct = np.unique(present)
    if len(distinct) <= MOST:
        for value in distinct.tolist():
            yield f"{value:g}", values == value
    else:
        edges = np.unique(np.quantile(present, np.arange(1, RANGES) / RANGES))
        part = np.searchsorted(edges, values, side="right")
        for number in range(len(edges) + 1):
            inside = (part == number) & ~np.isnan(values)
            if inside.any():
                yield f"{values[inside].min():g} to {values[inside].max():g}", inside
    if len(present) < len(values):
        yield NONE, np.isnan(values)
