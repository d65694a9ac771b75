"""Turns scores into probabilities by held-out rows, where that makes them better ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.linear import Floats, rows_of
from evaluation.probability import calibration_error

FOLDS = 2


@dataclass(frozen=True)
class ScoreCalibration:
    """A rising function from scores to probabilities: straight between its points, level beyond them."""

    scores: list[float]
    probabilities: list[float]
    error_before: float
    """Of the scores as they are; infinite where they are no probabilities."""
    error_after: float

    @property
    def kept(self) -> bool:
        """Return whether it lowers the calibration error; else `apply` leaves the scores as they are."""
        return self.error_after < self.error_before

    def apply(self, score: ArrayLike) -> Floats:
        scores = np.asarray(score, dtype=np.float64)
        return np.interp(scores, self.scores, self.probabilities) if self.kept else scores


def fit_calibration(truth: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> ScoreCalibration:
    """Fit by isotonic regression (Zadrozny and Elkan, KDD 2002) to rows that the model was not trained on.

    Both errors are those of rows left out: each half is calibrated by the other. Even and odd rows make the halves, so
    the same rows give the same function. Raises ValueError where a half is empty.
    """
    positive, scores, weights = rows_of(truth, score, weight)
    if len(scores) < FOLDS:
        raise ValueError(f"calibration needs at least {FOLDS} rows; there are {len(scores)}")
    held_out = np.empty(len(scores))
    for fold in range(FOLDS):
        inside = np.arange(len(scores)) % FOLDS == fold
        held_out[inside] = np.interp(scores[inside], *_isotonic(positive[~inside], scores[~inside], weights[~inside]))
    possible = scores.min() >= 0 and scores.max() <= 1
    before = calibration_error(positive, scores, weights)[0].value if possible else float("inf")
    after = calibration_error(positive, held_out, weights)[0].value
    points, values = _isotonic(positive, scores, weights)
    return ScoreCalibration(points.tolist(), values.tolist(), before, after)


def _isotonic(truth: NDArray[np.bool_], score: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return the ends of the level stretches of the rising function with the least squared error."""
    from scipy.optimize import isotonic_regression

    distinct, place = np.unique(score, return_inverse=True)
    held = np.bincount(place, weight, len(distinct))
    rate = np.bincount(place, weight * truth, len(distinct)) / np.maximum(held, 1e-300)
    fitted = isotonic_regression(rate, weights=np.maximum(held, 1e-300)).x
    changes = fitted[1:] != fitted[:-1]
    ends = np.concatenate(([True], changes)) | np.concatenate((changes, [True]))
    return distinct[ends], fitted[ends]
