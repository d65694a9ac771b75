"""What calibrated scores imply is what happens, unless the same inputs get other outcomes."""

import numpy as np
import pytest
from sklearn import metrics

from evaluation.calibration import fit_calibration
from evaluation.estimated import BLIND, estimate_performance
from evaluation.linear import Floats

ROWS = 300_000


def calibrated(seed: int) -> tuple[np.random.Generator, Floats]:
    draw = np.random.default_rng(seed)
    return draw, draw.beta(1, 3, ROWS)


def realised(truth: np.ndarray, chance: Floats, threshold: float) -> dict[str, float]:
    found = chance >= threshold
    return {
        "auc": metrics.roc_auc_score(truth, chance),
        "average_precision": metrics.average_precision_score(truth, chance),
        "precision": metrics.precision_score(truth, found),
        "recall": metrics.recall_score(truth, found),
        "f1": metrics.f1_score(truth, found),
        "accuracy": metrics.accuracy_score(truth, found),
        "brier": metrics.brier_score_loss(truth, chance),
        "log_loss": metrics.log_loss(truth, chance),
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_the_estimate_is_what_scikit_learn_measures_later(seed: int) -> None:
    draw, chance = calibrated(seed)
    told = estimate_performance(chance, 0.4)
    for name, value in realised(draw.random(ROWS) < chance, chance, 0.4).items():
        assert told.figures[name].value == pytest.approx(value, abs=0.005), name
    assert told.true_positives + told.false_positives == pytest.approx((chance >= 0.4).sum())


def test_the_intervals_hold_what_happens_in_95_of_100() -> None:
    draw = np.random.default_rng(3)
    chance = draw.beta(1, 3, 2_000)
    told = estimate_performance(chance, 0.4).figures
    held = dict.fromkeys(told, 0)
    for _ in range(60):
        for name, value in realised(draw.random(2_000) < chance, chance, 0.4).items():
            held[name] += told[name].low <= value <= told[name].high
    assert all(count >= 51 for count in held.values()), held


def test_pairs_of_a_row_with_itself_do_not_count() -> None:
    chance = np.array([0.9, 0.5, 0.2])
    pairs = [(p * (1 - q), i < j) for i, p in enumerate(chance) for j, q in enumerate(chance) if i != j]
    expected = sum(weight for weight, won in pairs if won) / sum(weight for weight, _ in pairs)
    assert estimate_performance(chance).figures["auc"].value == pytest.approx(expected)


def test_it_sees_other_inputs_and_is_blind_to_other_outcomes() -> None:
    draw, chance = calibrated(4)
    before = estimate_performance(chance).figures["auc"].value
    surer = chance[(chance < 0.1) | (chance > 0.6)]
    assert estimate_performance(surer).figures["auc"].value > before + 0.05
    turned = draw.random(ROWS) < np.where(chance > 0.3, 0.3, chance)  # concept drift: high scores mean less
    assert metrics.roc_auc_score(turned, chance) < before - 0.05
    told = estimate_performance(chance)
    assert told.figures["auc"].value == before
    assert told.note == BLIND


def test_a_calibration_is_kept_only_where_it_helps() -> None:
    draw, chance = calibrated(5)
    truth = draw.random(ROWS) < chance
    tilted = fit_calibration(truth[: ROWS // 2], chance[: ROWS // 2] ** 2)
    assert tilted.kept
    np.testing.assert_allclose(tilted.apply(chance[ROWS // 2 :] ** 2).mean(), truth[ROWS // 2 :].mean(), atol=0.005)
    few = [fit_calibration(truth[start : start + 200], chance[start : start + 200]) for start in range(0, 4_000, 200)]
    assert sum(found.kept for found in few) <= 10  # calibrated as they are: a fit to 100 rows adds its own noise
    assert next(found for found in few if not found.kept).apply(chance) is chance
    assert fit_calibration(truth[:5_000], 10 * chance[:5_000] - 5).kept  # no probabilities at all


def test_the_calibration_is_scikit_learns_isotonic_regression() -> None:
    from sklearn.isotonic import IsotonicRegression

    draw, chance = calibrated(6)
    score, truth = np.round(chance[:3_000] ** 2, 3), draw.random(3_000) < chance[:3_000]
    weight = draw.exponential(size=3_000)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(score, truth, weight)
    ours = fit_calibration(truth, score, weight)
    np.testing.assert_allclose(ours.apply(chance), theirs.predict(chance), atol=1e-9)


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        estimate_performance([0.5, 1.5])
