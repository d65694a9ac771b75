"""Metrics of an order: AUC, average precision, precision, recall and lift at the top. Only ranks count, not scores.

Equal scores are one step of the curves, as in scikit-learn: half a win in the AUC, and at the top's edge each of them
counts for the share that still fits.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from evaluation.linear import Estimate, Flags, Floats, estimate, rows_of

NEIGHBOURS = 0.1
"""The rate of positives at the top's edge is that of this share of the top on either side of it."""


@dataclass(frozen=True)
class Ranking:
    """Rows in the order of their scores, highest first, and the weights above each distinct score."""

    truth: Flags
    weight: Floats
    order: np.typing.NDArray[np.intp]
    step: np.typing.NDArray[np.intp]
    """Which distinct score each row of the order has."""
    scores: Floats
    true: Floats
    """Weight of the positives at least as high as each distinct score."""
    false: Floats

    @cached_property
    def positives(self) -> float:
        return float(self.true[-1]) if len(self.true) else 0.0

    @cached_property
    def negatives(self) -> float:
        return float(self.false[-1]) if len(self.false) else 0.0

    def of_rows(self, of_steps: Floats) -> Floats:
        """Return each row's value, given each distinct score's."""
        values = np.empty(len(self.order))
        values[self.order] = of_steps[self.step]
        return values

    def estimate(self, value: float, positive: Floats, negative: Floats) -> Estimate:
        """Return the estimate, given the influences of each distinct score."""
        return estimate(value, self.of_rows(positive), self.of_rows(negative), self.truth, self.weight)

    def undefined(self) -> Estimate:
        nothing = np.full(len(self.scores), np.nan)
        return self.estimate(np.nan, nothing, nothing)


def rank(truth: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> Ranking:
    """Sort once; every metric of this module reads the result. Raises ValueError as `linear.rows_of` does."""
    positive, scores, weights = rows_of(truth, score, weight)
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    starts = np.concatenate(([True], falling[1:] != falling[:-1])) if len(order) else np.empty(0, bool)
    step = np.cumsum(starts) - 1
    ends = np.flatnonzero(np.concatenate((starts[1:], [True]))) if len(order) else np.empty(0, np.intp)
    true = np.cumsum(np.where(positive, weights, 0.0)[order])[ends]
    false = np.cumsum(np.where(positive, 0.0, weights)[order])[ends]
    return Ranking(positive, weights, order, step, falling[ends], true, false)


def auc(ranking: Ranking) -> Estimate:
    """Return the area under the ROC curve: P(a positive scores higher than a negative), equal scores counting half.

    The influences are the structural components of DeLong et al. (1988): a row's share of the other side that it
    beats, less the AUC. NaN where one side is empty.
    """
    won = _middles(ranking.true)
    lost = _middles(ranking.false)
    if not ranking.positives or not ranking.negatives:
        return ranking.undefined()
    beaten = 1 - lost / ranking.negatives
    beats = won / ranking.positives
    value = float(np.diff(ranking.false, prepend=0.0) @ beats) / ranking.negatives
    return ranking.estimate(value, (beaten - value) / ranking.positives, (beats - value) / ranking.negatives)


def average_precision(ranking: Ranking) -> Estimate:
    """Return Σ (Rₙ - Rₙ₋₁)·Pₙ over the distinct scores, as scikit-learn's; NaN without positives.

    Of a row at score s the influence is [y·P(s) + y·Σ t/h - Σ t·T/h² - y·AP] / positives, where both sums go over the
    scores up to s, t is a score's own positives, T and h the positives and all rows at least as high: the derivative
    of ∫ P dR along both counts and the number of positives.
    """
    if not ranking.positives:
        return ranking.undefined()
    above = np.maximum(ranking.true + ranking.false, 1e-300)
    precision = ranking.true / above
    own = np.diff(ranking.true, prepend=0.0)
    value = float(own @ precision) / ranking.positives
    gained = _from_below(own / above)
    diluted = _from_below(own * precision / above)
    positive = (precision + gained - diluted - value) / ranking.positives
    return ranking.estimate(value, positive, -diluted / ranking.positives)


@dataclass(frozen=True)
class Top:
    """The best-scored rows up to a given weight."""

    precision: Estimate
    recall: Estimate
    lift: Estimate
    """Precision divided by the share of positives among all rows."""


def at_top(ranking: Ranking, k: float) -> Top:
    """Return precision, recall and lift at the `k` rows (units of weight) with the highest scores.

    `k` is taken as a share of all rows: another sample of the same population would have its edge elsewhere, and the
    influences include that (the rows at the edge come and go, with their own rate of positives). Raises ValueError
    where k is not within (0, all rows].
    """
    above = ranking.true + ranking.false
    rows = float(above[-1]) if len(above) else 0.0
    if not 0 < k <= rows * (1 + 1e-9):
        raise ValueError(f"k is {k:g}; it needs to be above 0 and at most the {rows:g} rows that there are")
    edge = min(int(np.searchsorted(above, k)), len(above) - 1)
    over = float(above[edge - 1]) if edge else 0.0
    fits = min(1.0, (k - over) / max(float(above[edge]) - over, 1e-300))
    inside = np.where(np.arange(len(above)) < edge, 1.0, 0.0)
    inside[edge] = fits
    found = float(np.diff(ranking.true, prepend=0.0) @ inside)
    rate, share, base = _rate_at(ranking, k), k / rows, ranking.positives / rows
    # dT of ∫ y·1(s ≥ edge) with the edge at a fixed share of the rows.
    drawn = [inside * (truth - rate) + share * rate - found / rows for truth in (1.0, 0.0)]
    precision, recall = found / k, found / ranking.positives if ranking.positives else np.nan
    lift = precision / base if base else np.nan
    return Top(
        ranking.estimate(precision, *(part / k for part in drawn)),
        ranking.estimate(recall, *_ratio(drawn, recall, base, rows)),
        ranking.estimate(lift, *_ratio([part / share for part in drawn], lift, base, rows)),
    )


def curve(ranking: Ranking, points: int = 200) -> dict[str, list[float]]:
    """Return at most `points` points of the ROC and precision-recall curves, highest threshold first."""
    taken = np.unique(np.linspace(0, len(ranking.scores) - 1, points).round().astype(int))
    true, false = ranking.true[taken], ranking.false[taken]
    return {
        "threshold": ranking.scores[taken].tolist(),
        "true_positive_rate": (true / (ranking.positives or np.nan)).tolist(),
        "false_positive_rate": (false / (ranking.negatives or np.nan)).tolist(),
        "precision": (true / np.maximum(true + false, 1e-300)).tolist(),
    }


def _ratio(drawn: list[Floats], value: float, base: float, rows: float) -> list[Floats]:
    """Return the influences of a ratio to the base rate: (dT - value·(y - base)) / base."""
    if not base:
        return [np.full_like(part, np.nan) for part in drawn]
    return [(part - value * (truth - base)) / base / rows for part, truth in zip(drawn, (1.0, 0.0), strict=True)]


def _rate_at(ranking: Ranking, k: float) -> float:
    """Return the rate of positives around the k-th row."""
    above = ranking.true + ranking.false
    reach = max(NEIGHBOURS * min(k, float(above[-1]) - k), 0.5)
    low, high = np.searchsorted(above, [k - reach, k + reach])
    low, high = min(low, len(above) - 1), min(high, len(above) - 1)
    weight = above[high] - (above[low - 1] if low else 0.0)
    true = ranking.true[high] - (ranking.true[low - 1] if low else 0.0)
    return float(true / weight) if weight else 0.0


def _middles(counts: Floats) -> Floats:
    """Return the weight above each step and half of its own."""
    return counts - np.diff(counts, prepend=0.0) / 2


def _from_below(values: Floats) -> Floats:
    """Return the sums of each step and all lower scores."""
    return np.cumsum(values[::-1])[::-1]
