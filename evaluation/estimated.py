"""Performance before outcomes come: what calibrated scores imply (confidence-based performance estimation, CBPE).

A calibrated score p is the chance that the outcome is positive. So each row is, in expectation, p of a positive and
1 - p of a negative, and every metric follows from that (Bialek, Kuberski, Perrakis and Bifet, "Estimating Model
Performance Under Covariate Shift Without Labels", 2024; the method of NannyML).

It sees what the scores show: other inputs, for which the model is surer or less sure. It is blind to concept drift,
where the same inputs have other outcomes than before: the scores do not change, so neither does the estimate.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from evaluation.linear import CONFIDENCE, Estimate, Figure, Floats, interval_of, normal_quantile, rows_of
from evaluation.probability import brier, log_loss
from evaluation.ranking import auc, average_precision, rank
from evaluation.threshold import at_threshold

BLIND = "Estimated from the scores alone: it cannot see that the same inputs have other outcomes than before."


@dataclass(frozen=True)
class EstimatedPerformance:
    """Expected figures, with intervals in which the realised ones will lie if the scores are calibrated."""

    rows: int
    threshold: float
    true_positives: float
    false_positives: float
    true_negatives: float
    false_negatives: float
    figures: dict[str, Figure]
    note: str = BLIND


def estimate_performance(
    probability: ArrayLike, threshold: float = 0.5, score: ArrayLike | None = None
) -> EstimatedPerformance:
    """Return expected counts at the threshold, and the metrics: auc, average_precision, precision, recall, f1,
    accuracy, brier, log_loss.

    `probability` holds calibrated scores (`ScoreCalibration.apply`); `score` what ranks and is held against the
    threshold, where that is another number. Each row counts twice, as a positive of weight p and a negative of weight
    1 - p. The intervals are of the outcomes' own chance: Σ p·(1 - p)·(φ₊ - φ₋)². Raises ValueError where a
    probability is outside [0, 1].
    """
    chance = np.asarray(probability, dtype=np.float64)
    if len(chance) and not (chance.min() >= 0 and chance.max() <= 1):
        raise ValueError("probability needs numbers from 0 to 1: calibrate the scores first")
    ranked = chance if score is None else np.asarray(score, dtype=np.float64)
    truth = np.repeat([True, False], len(chance))
    both, weight = np.tile(ranked, 2), np.concatenate([chance, 1 - chance])
    ranking, at = rank(truth, both, weight), at_threshold(truth, both, threshold, weight)
    given = rows_of(truth, np.tile(chance, 2), weight)
    found = {
        "auc": _without_itself(auc(ranking), chance),
        "average_precision": average_precision(ranking),
        "precision": at.precision,
        "recall": at.recall,
        "f1": at.f1,
        "accuracy": at.accuracy,
        "brier": brier(*given),
        "log_loss": log_loss(*given),
    }
    above = ranked >= threshold
    return EstimatedPerformance(
        len(chance),
        threshold,
        float(chance[above].sum()),
        float((1 - chance[above]).sum()),
        float((1 - chance[~above]).sum()),
        float(chance[~above].sum()),
        {name: _figure(name, estimate, chance) for name, estimate in found.items()},
    )


def _without_itself(area: Estimate, chance: Floats) -> Estimate:
    """Leave out the pairs of a row with itself, which the doubled rows count as ties.

    They matter only for few rows: n of n² pairs.
    """
    pairs, own = chance.sum() * (1 - chance).sum(), (chance * (1 - chance)).sum()
    value = (area.value * pairs - own / 2) / (pairs - own) if pairs > own else float("nan")
    return Estimate(float(value), area.positive, area.negative, area.influence)


def _figure(name: str, estimate: Estimate, chance: Floats) -> Figure:
    rows = len(chance)
    spread = (estimate.positive - estimate.negative)[:rows]
    error = sqrt(float((chance * (1 - chance)) @ spread**2))
    return interval_of(estimate.value, error**2, normal_quantile(CONFIDENCE), None if name == "log_loss" else rows)
