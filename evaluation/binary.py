"""All figures of a model whose outcome is yes or no, each with its interval."""

from collections.abc import Mapping
from dataclasses import dataclass

from numpy.typing import ArrayLike

from evaluation.linear import Estimate, Figure, Flags, Floats, effective_rows, interval_of, normal_quantile, rows_of
from evaluation.probability import CalibrationBin, brier, calibration_bins, calibration_error, log_loss
from evaluation.ranking import at_top, auc, average_precision, curve, rank
from evaluation.threshold import at_threshold
from evaluation.weighting import Weighting

UNBOUNDED = ("log_loss", "calibration_error", "lift")
"""Not within [0, 1], or cut off at 0: a symmetric interval."""


@dataclass(frozen=True)
class BinaryEvaluation:
    """Figures by name: auc, average_precision, brier, log_loss, calibration_error, and of each top its three."""

    rows: int
    positives: int
    effective_rows: float
    """Kish's: as many equally weighted rows would say as much. Equal to `rows` without weights."""
    weighted: bool
    unrepresented: int
    """Items that no outcome stands for."""
    figures: dict[str, Figure]
    """Of tops as precision@NAME, recall@NAME and lift@NAME."""
    calibration_error_by_chance: float
    """What a calibrated score would show at this number of rows."""
    calibration: list[CalibrationBin]
    curve: dict[str, list[float]]


def evaluate_binary(
    truth: ArrayLike,
    score: ArrayLike,
    weighting: Weighting | None = None,
    *,
    tops: Mapping[str, float] | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> BinaryEvaluation:
    """Return every figure of decided rows.

    `weighting` makes the figures those of the whole population; its rows are these, in this order. `tops` names numbers
    of rows, in units of weight, and `thresholds` scores: use these where all scores of the population are known, as
    `threshold.threshold_of_top` gives them. Scores need to be probabilities for brier, log_loss and the calibration;
    scores outside [0, 1] have none of these.
    """
    weight = None if weighting is None else weighting.weight
    positive, scores, weights = rows_of(truth, score, weight)
    ranking = rank(positive, scores, weights)
    found: dict[str, Estimate] = {"auc": auc(ranking), "average_precision": average_precision(ranking)}
    for name, k in (tops or {}).items():
        top = at_top(ranking, k)
        found |= {f"precision@{name}": top.precision, f"recall@{name}": top.recall, f"lift@{name}": top.lift}
    for name, threshold in (thresholds or {}).items():
        at = at_threshold(positive, scores, threshold, weights)
        found |= {f"precision@{name}": at.precision, f"recall@{name}": at.recall, f"lift@{name}": at.lift}
    chance, bins = float("nan"), []
    if len(scores) and scores.min() >= 0 and scores.max() <= 1:
        error, chance = calibration_error(positive, scores, weights)
        found |= {"brier": brier(positive, scores, weights), "log_loss": log_loss(positive, scores, weights)}
        found["calibration_error"], bins = error, calibration_bins(positive, scores, weights)
    return BinaryEvaluation(
        len(scores),
        int(positive.sum()),
        effective_rows(weights),
        weighting is not None,
        0 if weighting is None else weighting.unrepresented,
        {name: _figure(name, estimate, weighting, positive, weights) for name, estimate in found.items()},
        chance,
        bins,
        curve(ranking) if len(scores) else {},
    )


def _figure(name: str, estimate: Estimate, weighting: Weighting | None, positive: Flags, weights: Floats) -> Figure:
    share = name.split("@")[0] not in UNBOUNDED
    if weighting is not None:
        figure = weighting.interval(estimate, positive, share=share)
    else:
        rows = effective_rows(weights) if share else None
        figure = interval_of(estimate.value, estimate.variance(), normal_quantile(0.95), rows)
    return figure if share else Figure(figure.value, max(0.0, figure.low), figure.high)
