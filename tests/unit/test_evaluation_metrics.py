"""The metrics are scikit-learn's, and their intervals are those of repeated samples."""

import numpy as np
import pytest
from sklearn import metrics

from evaluation.binary import evaluate_binary
from evaluation.labels import evaluate_labels
from evaluation.linear import Estimate, Flags, Floats, students_quantile
from evaluation.probability import brier, calibration_error, log_loss
from evaluation.ranking import at_top, auc, average_precision, rank
from evaluation.threshold import at_threshold, threshold_of_top

Rows = tuple[Flags, Floats, Floats | None]


def rows(seed: int, count: int, digits: int = 6, weighted: bool = False) -> Rows:
    draw = np.random.default_rng(seed)
    truth = draw.random(count) < 0.2
    score = 1 / (1 + np.exp(1.5 - 1.3 * truth - draw.normal(size=count)))
    return truth, np.round(score, digits), draw.exponential(size=count) if weighted else None


CASES = [rows(0, 50, 1), rows(1, 3_000), rows(2, 3_000, 2), rows(3, 50, 1, True), rows(4, 3_000, 2, True)]


@pytest.mark.parametrize(("truth", "score", "weight"), CASES)
def test_the_metrics_are_those_of_scikit_learn(truth: Flags, score: Floats, weight: Floats | None) -> None:
    ranking, at = rank(truth, score, weight), at_threshold(truth, score, 0.4, weight)
    found, named = score >= 0.4, {"sample_weight": weight}
    pairs = [
        (auc(ranking), metrics.roc_auc_score(truth, score, **named)),
        (average_precision(ranking), metrics.average_precision_score(truth, score, **named)),
        (brier(truth, score, weight), metrics.brier_score_loss(truth, score, **named)),
        (log_loss(truth, score, weight), metrics.log_loss(truth, score, **named)),
        (at.precision, metrics.precision_score(truth, found, **named)),
        (at.recall, metrics.recall_score(truth, found, **named)),
        (at.f1, metrics.f1_score(truth, found, **named)),
        (at.accuracy, metrics.accuracy_score(truth, found, **named)),
    ]
    for ours, theirs in pairs:
        assert ours.value == pytest.approx(theirs, abs=1e-9)
        assert ours.influence.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_of_labels_are_those_of_scikit_learn(weighted: bool) -> None:
    draw = np.random.default_rng(5)
    truth = draw.choice(list("abcde"), 2_000)
    guess = np.where(draw.random(2_000) < 0.6, truth, draw.choice(list("abcdf"), 2_000))
    weight = draw.exponential(size=2_000) if weighted else None
    found = evaluate_labels(truth.tolist(), guess.tolist(), weight)
    named = {"sample_weight": weight}
    macro = metrics.f1_score(truth, guess, average="macro", **named)
    assert found.accuracy.value == pytest.approx(metrics.accuracy_score(truth, guess, **named), abs=1e-9)
    assert found.macro_f1.value == pytest.approx(macro, abs=1e-9)
    np.testing.assert_allclose(found.confusion, metrics.confusion_matrix(truth, guess, **named), atol=1e-9)


def test_the_top_holds_the_highest_scores_and_a_share_of_equal_ones() -> None:
    top = at_top(rank([1, 0, 1, 1, 0, 0], [0.9, 0.8, 0.7, 0.7, 0.7, 0.1]), 3)
    assert top.precision.value == pytest.approx((1 + 2 / 3) / 3)
    assert top.recall.value == pytest.approx((1 + 2 / 3) / 3)
    assert top.lift.value == pytest.approx((1 + 2 / 3) / 3 / 0.5)


def every(truth: Flags, score: Floats) -> list[Estimate]:
    ranking, at = rank(truth, score), at_threshold(truth, score, 0.4)
    top = at_top(ranking, len(truth) / 10)
    ranks = [auc(ranking), average_precision(ranking), top.precision, top.recall, top.lift]
    return [*ranks, brier(truth, score), log_loss(truth, score), at.precision, at.recall, at.f1, at.lift]


def test_standard_errors_are_those_of_repeated_samples() -> None:
    samples = [every(*rows(seed, 2_000)[:2]) for seed in range(300)]
    spread = np.std([[found.value for found in sample] for sample in samples], axis=0)
    told = np.sqrt(np.mean([[found.variance() for found in sample] for sample in samples], axis=0))
    np.testing.assert_allclose(told / spread, 1, atol=0.15)


def test_standard_errors_are_those_of_a_poisson_bootstrap() -> None:
    truth, score, _ = rows(7, 2_000)
    draw = np.random.default_rng(8)
    again = [rank(truth, score, draw.poisson(1, len(truth))) for _ in range(300)]
    for metric in (auc, average_precision):
        spread = np.std([metric(ranking).value for ranking in again])
        assert metric(rank(truth, score)).variance() ** 0.5 == pytest.approx(spread, rel=0.15)


def test_a_calibrated_score_shows_the_error_that_chance_alone_makes() -> None:
    draw = np.random.default_rng(9)
    score = draw.beta(1, 4, (200, 2_000))
    found = [calibration_error(draw.random(2_000) < part, part) for part in score]
    told = np.mean([chance for _, chance in found])
    assert np.mean([error.value for error, _ in found]) == pytest.approx(told, rel=0.05)
    tilted = calibration_error(draw.random(2_000) < score[0] ** 2, score[0])
    assert tilted[0].value > 4 * tilted[1]


def test_figures_without_their_outcomes_are_not_defined() -> None:
    found = evaluate_binary([0, 0, 0], [0.1, 0.2, 0.3], tops={"2": 2})
    undefined = {name for name, figure in found.figures.items() if np.isnan(figure.value)}
    assert undefined == {"auc", "average_precision", "recall@2", "lift@2"}
    assert found.figures["precision@2"].low == 0 < found.figures["precision@2"].high < 1


def test_every_interval_holds_its_value_and_stays_where_the_metric_can_be() -> None:
    truth, score, _ = rows(10, 400)
    found = evaluate_binary(truth, score, tops={"40": 40}, thresholds={"t": threshold_of_top(score, 40)})
    assert len(found.figures) == 11
    for name, figure in found.figures.items():
        assert figure.low < figure.value < figure.high or figure.low == 0
        assert figure.high <= 1 or "lift" in name or name == "log_loss"


@pytest.mark.parametrize(
    ("truth", "score", "weight", "said"),
    [
        ([1, 0], [0.5], None, "need one length"),
        ([1, 0], [0.5, float("nan")], None, "finite"),
        ([1, 0], [0.5, 0.6], [1, -1], "at least 0"),
    ],
)
def test_rows_that_are_none_are_refused(
    truth: list[int], score: list[float], weight: list[float] | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        rank(truth, score, weight)
    with pytest.raises(ValueError, match="at most the 2 rows"):
        at_top(rank([1, 0], [0.5, 0.4]), 3)


def test_students_quantile_is_scipys() -> None:
    from scipy.stats import t

    for freedom in (1, 2, 3, 4, 5, 6, 7, 9, 20, 100, 10_000):
        assert students_quantile(0.95, freedom) == pytest.approx(t.ppf(0.975, freedom), rel=1e-3)
