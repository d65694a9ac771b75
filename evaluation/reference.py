"""What a column was like, to which its rows are compared later; and how an evaluation (JSON) holds that.

Nothing here needs numpy, so that PostgreSQL can do the counting; `columns.py` counts arrays.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from evaluation.drift import BINS, ENOUGH, Counted

CATEGORIES = 1_000
"""Categories of a reference that are told apart."""
DIGITS = 6
"""Decimals of a share."""
EDGE = ".9g"
"""Significant digits of an edge, so that a column of small numbers has bins as well."""


@dataclass(frozen=True)
class ColumnReference:
    """What a column was like: of numbers the edges between bins, of categories their names; and the rows of each."""

    counted: Counted
    edges: list[float] = field(default_factory=list)
    """Bin i holds the numbers from edge i - 1 up to below edge i."""
    categories: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """Known categories beyond the first CATEGORIES, whose rows are the last part."""


def of_numbers(values: Iterable[float | None]) -> dict[str, Any]:
    """Return, for an evaluation, edges that cut the numbers into parts as equal as possible, and the parts' shares."""
    given = list(values)
    numbers = [float(value) for value in given if value is not None]
    edges = edges_of(float(f"{edge:{EDGE}}") for edge in quantiles(numbers, n=BINS))
    counts = Counter(bisect_right(edges, number) for number in numbers)
    return {"edges": edges} | _shares([counts[part] for part in range(len(edges) + 1)], len(given) - len(numbers))


def of_categories(values: Iterable[str | None]) -> dict[str, Any] | None:
    """Return, for an evaluation, the categories and their shares, the most frequent first; None: it is free text."""
    given = list(values)
    counts = Counter(value for value in given if value is not None)
    if not are_categories(len(counts), counts.total()):
        return None
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    missing = len(given) - counts.total()
    return {"categories": [name for name, _ in ranked]} | _shares([rows for _, rows in ranked], missing)


def read(held: Mapping[str, Any]) -> ColumnReference:
    """Return the reference that an evaluation holds.

    Evaluations that were made before they noted their rows count as ENOUGH, the fewest: the band is wide then.
    """
    rows = held.get("rows", ENOUGH)
    counted = Counted([round(share * rows) for share in held["shares"]], held.get("missing", 0))
    return ColumnReference(counted, list(held.get("edges", ())), list(held.get("categories", ())))


def are_categories(distinct: int, present: int) -> bool:
    """Return whether texts are categories, that is few and each there more than once, as a mean; else free text."""
    return distinct <= min(CATEGORIES, present / 2)


def edges_of(quantiles: Iterable[float]) -> list[float]:
    """Return edges between bins, with a bin of its own for a value that is several of the quantiles.

    Otherwise a column that was 0 in nearly every row could become anything above it without leaving the last bin.
    """
    found = Counter(quantiles)
    return sorted({*found, *(above(value) for value, times in found.items() if times > 1)})


def above(value: float) -> float:
    """Return an edge just above a value: as near as numbers of EDGE's digits are to each other."""
    return value + max(abs(value), 1e-9) * 1e-9


def _shares(counts: Sequence[int], missing: int) -> dict[str, Any]:
    rows = sum(counts)
    shares = [round(count / rows, DIGITS) for count in counts]
    return {"shares": shares, "rows": rows} | ({"missing": missing} if missing else {})
