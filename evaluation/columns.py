"""Counts the values of a column against the parts of its reference."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from evaluation.drift import BINS, Counted
from evaluation.reference import CATEGORIES, ColumnReference, edges_of


def numbers_reference(values: ArrayLike, bins: int = BINS) -> ColumnReference:
    """Return the reference of a column of numbers: quantiles as edges. NaN is missing."""
    numbers = np.asarray(values, dtype=np.float64)
    present = numbers[~np.isnan(numbers)]
    edges = edges_of(np.quantile(present, np.arange(1, bins) / bins).tolist()) if len(present) else []
    return ColumnReference(count_numbers(edges, numbers), edges=edges)


def categories_reference(values: Sequence[Any]) -> ColumnReference:
    """Return the reference of a column of categories, the most frequent first. None is missing."""
    present = [str(value) for value in values if value is not None]
    names, counts = np.unique(np.array(present, dtype=str), return_counts=True)
    order = np.lexsort((names, -counts))
    ranked = names[order].tolist()
    kept, others = ranked[:CATEGORIES], ranked[CATEGORIES:]
    parts = [*counts[order][:CATEGORIES].tolist(), *([int(counts[order][CATEGORIES:].sum())] if others else [])]
    return ColumnReference(Counted(parts, len(values) - len(present)), categories=kept, others=others)


def count(reference: ColumnReference, values: ArrayLike) -> Counted:
    """Return how many of the values lie in each part of the reference."""
    if reference.categories:
        return _count_categories(reference, values)
    return count_numbers(reference.edges, values)


def count_numbers(edges: Sequence[float], values: ArrayLike) -> Counted:
    numbers = np.asarray(values, dtype=np.float64)
    present = numbers[~np.isnan(numbers)]
    part = np.searchsorted(np.asarray(edges), present, side="right")
    return Counted(np.bincount(part, minlength=len(edges) + 1).tolist(), len(numbers) - len(present))


def _count_categories(reference: ColumnReference, values: ArrayLike) -> Counted:
    given = np.asarray(values, dtype=object)
    present = given[[value is not None for value in given]]
    names, counts = np.unique(present.astype(str), return_counts=True)
    place = {name: part for part, name in enumerate(reference.categories)}
    place |= dict.fromkeys(reference.others, len(reference.categories))
    parts, unseen = [0] * (len(reference.categories) + bool(reference.others)), 0
    for name, found in zip(names.tolist(), counts.tolist(), strict=True):
        if name in place:
            parts[place[name]] += found
        else:
            unseen += found
    return Counted(parts, len(given) - len(present), unseen)
