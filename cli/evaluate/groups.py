"""What figures are grouped by: all, version, week, client, and slices of any column."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.linear import Flags
from serving.contract import Spec

ALL, VERSION, WEEK, CLIENT, SLICE = "all", "version", "week", "client", "slice"

MOST = 20
"""Categories of a slice that are told apart, the most frequent first; and different numbers that are not yet ranges."""

RANGES = 4
"""A column with more different numbers is cut into so many ranges of equally many predictions."""

NONE, OTHER = "(none)", "(other)"

_EXPRESSIONS = {
    VERSION: ("p.model_version", "text"),
    WEEK: ("to_char(date_trunc('week', p.scored_at AT TIME ZONE 'UTC'), 'YYYY-MM-DD')", "text"),
    CLIENT: ("t.client", "text"),
}
_NUMBERS, _NAMES = {"integer", "bigint", "double"}, {"text", "boolean"}


class UnknownGrouping(Exception):
    """The message says which words there are."""


@dataclass(frozen=True)
class Grouping:
    """A way to group predictions. `name` is one of the words above, or slice:COLUMN by its public name."""

    name: str
    expression: tuple[str, str]
    """In SQL, with its type."""

    def groups(self, values: NDArray[Any]) -> Iterator[tuple[str, Flags]]:
        """Yield each group's name and rows: weeks and ranges in their order, categories by how many there are."""
        if self.expression[1] == "double precision":
            yield from _of_numbers(values.astype(np.float64))
            return
        names = np.array([NONE if value is None else str(value) for value in values], dtype=object)
        found, place, counts = np.unique(names, return_inverse=True, return_counts=True)
        in_order = self.name in (VERSION, WEEK)
        order = np.arange(len(found)) if in_order else np.lexsort((found, -counts))
        kept = order if in_order else order[:MOST]
        for number in kept.tolist():
            yield str(found[number]), place == number
        if len(kept) < len(found):
            yield OTHER, ~np.isin(place, kept)


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
