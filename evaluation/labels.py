"""Metrics of classifiers with many labels: accuracy, macro F1, the confusion matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.linear import Estimate, Figure, Flags, Floats, effective_rows, share_interval


@dataclass(frozen=True)
class LabelEvaluation:
    """How well guessed labels fit the true ones; counts are in units of weight."""

    rows: int
    accuracy: Figure
    macro_f1: Figure
    """The mean of each label's F1, over the labels that were guessed or true."""
    labels: list[str]
    confusion: list[list[float]]
    """A row for each true label, a column for each guess."""


def evaluate_labels(truth: Sequence[Any], guess: Sequence[Any], weight: ArrayLike | None = None) -> LabelEvaluation:
    """Compare, as scikit-learn's accuracy_score, f1_score(average="macro") and confusion_matrix do.

    Raises ValueError where there are no rows or the lengths differ.
    """
    if not len(truth) == len(guess) > 0:
        raise ValueError(f"truth and guess need one length above 0: {len(truth)}, {len(guess)}")
    labels, codes = np.unique(np.concatenate([np.asarray(truth), np.asarray(guess)]), return_inverse=True)
    true, guessed = codes[: len(truth)], codes[len(truth) :]
    weights = np.ones(len(true)) if weight is None else np.asarray(weight, dtype=np.float64)
    counts = _confusion(true, guessed, weights, len(labels))
    right = (true == guessed).astype(np.float64)
    accuracy = float(weights @ right / weights.sum())
    each, macro = _f1(counts), float(_f1(counts).mean())
    rows = effective_rows(weights)
    return LabelEvaluation(
        len(true),
        share_interval(accuracy, _variance(weights * (right - accuracy) / weights.sum()), rows),
        share_interval(macro, _variance(weights * _f1_influence(counts, each, true, guessed)), rows),
        [str(label) for label in labels],
        counts.tolist(),
    )


def accuracy_of(truth: ArrayLike, guess: ArrayLike, weight: Floats) -> Estimate:
    """Return the accuracy with each row's influence on it: for a paired comparison. NaN without rows."""
    right = (np.asarray(truth) == np.asarray(guess)).astype(np.float64)
    if not len(right):
        return _estimate(np.nan, right, weight)
    value = float(weight @ right / weight.sum())
    return _estimate(value, (right - value) / weight.sum(), weight)


def macro_f1_of(truth: ArrayLike, guess: ArrayLike, weight: Floats) -> Estimate:
    """Return macro F1 over the labels that are true, with each row's influence on it. NaN without rows.

    Two versions are compared by the same labels then. A label that one of them guesses and that is never true would
    count for it as an F1 of 0 without a spread.
    """
    columns = np.asarray(truth), np.asarray(guess)
    if not len(columns[0]):
        return _estimate(np.nan, weight, weight)
    labels, codes = np.unique(np.concatenate(columns), return_inverse=True)
    true, guessed = codes[: len(columns[0])], codes[len(columns[0]) :]
    counts = _confusion(true, guessed, weight, len(labels))
    each, kept = _f1(counts), np.bincount(true, minlength=len(labels)) > 0
    return _estimate(float(each[kept].mean()), _f1_influence(counts, each, true, guessed, kept), weight)


def _estimate(value: float, influence: Floats, weight: Floats) -> Estimate:
    """Return what a row adds, which has one outcome only: the guess is compared with the truth that is there."""
    return Estimate(value, influence, influence, weight * influence)


def _confusion(true: NDArray[np.intp], guessed: NDArray[np.intp], weight: Floats, labels: int) -> Floats:
    cells = np.bincount(true * labels + guessed, weight, labels**2).astype(np.float64)
    return cells.reshape(labels, labels)


def _f1(counts: Floats) -> Floats:
    """Return 2·TP / (guessed + true) of each label."""
    f1: Floats = 2 * np.diagonal(counts) / (counts.sum(axis=0) + counts.sum(axis=1))
    return f1


def _f1_influence(
    counts: Floats, f1: Floats, true: NDArray[np.intp], guessed: NDArray[np.intp], kept: Flags | None = None
) -> Floats:
    """Return φ of each row: of the ratio 2·TP / S, (2·[right] - F1·[true] - F1·[guessed]) / S; the mean over labels.

    The mean is over the labels that are `kept`, each of which must be true of a row; by default all.
    """
    kept = np.ones(len(f1), bool) if kept is None else kept
    sums = counts.sum(axis=0) + counts.sum(axis=1)
    loss = np.where(kept, -f1 / sums, 0.0)
    hit = np.where(true == guessed, 2 / sums[true], 0.0)
    influence: Floats = (hit + loss[true] + loss[guessed]) / kept.sum()
    return influence


def _variance(influence: Floats) -> float:
    rows = len(influence)
    return float(influence @ influence) * rows / max(1, rows - 1)
