"""Precision, recall, lift, F1 and accuracy where everything at or above a threshold counts as found."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from evaluation.linear import Estimate, Flags, Floats, estimate, rows_of


@dataclass(frozen=True)
class AtThreshold:
    precision: Estimate
    recall: Estimate
    lift: Estimate
    """Precision divided by the share of positives among all rows."""
    f1: Estimate
    accuracy: Estimate


def at_threshold(truth: ArrayLike, score: ArrayLike, threshold: float, weight: ArrayLike | None = None) -> AtThreshold:
    """Return the metrics of scores at or above `threshold`. Each is a ratio A / B of two weighted sums.

    The influence of a ratio is (a - value·b) / B. A ratio without a denominator is NaN: no score at least as high has
    no precision, no positives have no recall.
    """
    positive, scores, weights = rows_of(truth, score, weight)
    found = (scores >= threshold).astype(np.float64)
    one, none, all_rows = np.ones_like(found), np.zeros_like(found), np.ones_like(found)
    rates = float(weights @ positive) / max(float(weights.sum()), 1e-300)

    def ratio(upper: tuple[Floats, Floats], lower: tuple[Floats, Floats]) -> Estimate:
        return _ratio(upper, lower, positive, weights)

    precision = ratio((found, none), (found, found))
    return AtThreshold(
        precision,
        ratio((found, none), (one, none)),
        _by_base(precision, rates, positive, weights),
        ratio((2 * found, none), (found + 1, found)),
        ratio((found, 1 - found), (all_rows, all_rows)),
    )


def threshold_of_top(score: ArrayLike, k: int) -> float:
    """Return the k-th highest score: of a population whose scores are all known, the top's edge is no estimate.

    Raises ValueError where there are not as many.
    """
    scores = np.asarray(score, dtype=np.float64)
    if not 0 < k <= len(scores):
        raise ValueError(f"k is {k}; it needs to be from 1 to the {len(scores)} scores that there are")
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])


def _ratio(upper: tuple[Floats, Floats], lower: tuple[Floats, Floats], truth: Flags, weight: Floats) -> Estimate:
    """Return Σ upper / Σ lower, each given as what a positive and what a negative adds."""
    above, below = (float(weight @ np.where(truth, *part)) for part in (upper, lower))
    if not below:
        return estimate(np.nan, upper[0] * np.nan, upper[0] * np.nan, truth, weight)
    value = above / below
    shifts = [(a - value * b) / below for a, b in zip(upper, lower, strict=True)]
    return estimate(value, shifts[0], shifts[1], truth, weight)


def _by_base(precision: Estimate, base: float, truth: Flags, weight: Floats) -> Estimate:
    """Return the precision over the base rate, whose own influence is (y - base) / rows."""
    value, rows = (precision.value / base if base else np.nan), float(weight.sum())
    parts = [
        (influence / base - value * (outcome - base) / base / rows) if base else influence * np.nan
        for influence, outcome in ((precision.positive, 1.0), (precision.negative, 0.0))
    ]
    return estimate(value, parts[0], parts[1], truth, weight)
