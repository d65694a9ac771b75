"""Metrics of scores that are probabilities: Brier score, log loss, calibration error, and the bins of a diagram."""

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from numpy.typing import ArrayLike

from evaluation.linear import Estimate, Flags, Floats, estimate, rows_of

LEAST = float(np.finfo(np.float64).eps)
"""A probability of 0 or 1 would make the log loss infinite; scikit-learn cuts here too."""

BINS = 10


@dataclass(frozen=True)
class CalibrationBin:
    """Rows whose scores lie between two edges; `rows` in units of weight, the rates within [0, 1]."""

    rows: float
    mean_score: float
    observed_rate: float


def brier(truth: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> Estimate:
    """Return the mean of (score - outcome)²: 0 is best, 1 worst."""
    positive, scores, weights = rows_of(truth, score, weight)
    return _mean((1 - scores) ** 2, scores**2, positive, weights)


def log_loss(truth: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> Estimate:
    """Return the mean of -ln of the probability that the score gave to what happened, in nats."""
    positive, scores, weights = rows_of(truth, score, weight)
    cut = np.clip(scores, LEAST, 1 - LEAST)
    return _mean(-np.log(cut), -np.log1p(-cut), positive, weights)


def calibration_error(
    truth: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None, bins: int = BINS
) -> tuple[Estimate, float]:
    """Return the expected calibration error, and the error that chance alone would show of a calibrated score.

    The error is Σ |observed - mean score| of each bin, weighted by its rows (Naeini et al., AAAI 2015), over bins of
    equally many rows. It is never negative, so it is above 0 for a perfect model as well: by E|N(0, s)| = s·√(2/π) of
    each bin's binomial noise. An error near that figure says nothing against the model.
    """
    positive, scores, weights = rows_of(truth, score, weight)
    slot, total = slots(scores, weights, bins), float(weights.sum())
    if not total:
        return _mean(scores, scores, positive, weights), float("nan")
    gaps = np.bincount(slot, weights * (positive - scores), bins) / total
    sign, value = np.sign(gaps)[slot], float(np.abs(gaps).sum())
    noise = np.bincount(slot, weights**2 * scores * (1 - scores), bins).clip(min=0)
    chance = sqrt(2 / pi) * float(np.sqrt(noise).sum()) / total
    lifted = [(sign * (outcome - scores) - value) / total for outcome in (1.0, 0.0)]
    return estimate(value, lifted[0], lifted[1], positive, weights), chance


def calibration_bins(
    truth: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None, bins: int = BINS
) -> list[CalibrationBin]:
    """Return the bins of equally many rows, lowest scores first, without empty ones."""
    positive, scores, weights = rows_of(truth, score, weight)
    slot = slots(scores, weights, bins)
    rows, mean, true = (np.bincount(slot, weights * part, bins) for part in (np.ones(len(slot)), scores, positive))
    return [
        CalibrationBin(float(rows[part]), float(mean[part] / rows[part]), float(true[part] / rows[part]))
        for part in np.flatnonzero(rows > 0)
    ]


def slots(score: Floats, weight: Floats, bins: int) -> np.typing.NDArray[np.intp]:
    """Return each row's bin; equal scores share one, so bins are as equal in weight as the scores allow."""
    distinct, place = np.unique(score, return_inverse=True)
    held = np.bincount(place, weight, len(distinct))
    middle = np.cumsum(held) - held / 2
    total = max(float(held.sum()), 1e-300)
    return np.minimum((middle / total * bins).astype(np.intp), bins - 1)[place]


def _mean(if_positive: Floats, if_negative: Floats, truth: Flags, weight: Floats) -> Estimate:
    total = float(weight.sum())
    if not total:
        return estimate(np.nan, if_positive * np.nan, if_negative * np.nan, truth, weight)
    value = float(weight @ np.where(truth, if_positive, if_negative)) / total
    return estimate(value, (if_positive - value) / total, (if_negative - value) / total, truth, weight)
