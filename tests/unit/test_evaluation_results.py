"""Maturity, shadow comparison, pictures and JSON."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from evaluation.artefact import as_json
from evaluation.binary import evaluate_binary
from evaluation.columns import count, numbers_reference
from evaluation.drift import compare
from evaluation.gate import judge
from evaluation.labels import evaluate_labels
from evaluation.maturity import delay_curve, maturity
from evaluation.pictures import column, confusion, curves, reliability
from evaluation.shadow import compare_versions

NEVER = 0.6


def outcomes(seed: int, count: int, now: float) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of the last `now` days: ages, and delays that are infinite where no outcome ever comes."""
    draw = np.random.default_rng(seed)
    delay = np.where(draw.random(count) < NEVER, np.inf, draw.exponential(4, count))
    return draw.uniform(0, now, count), delay


def test_the_delay_curve_is_what_the_delays_were_though_young_predictions_are_still_open() -> None:
    age, delay = outcomes(0, 20_000, 60)
    curve = delay_curve(np.minimum(age, delay), delay <= age)
    days = np.array([1.0, 4.0, 10.0, 30.0])
    np.testing.assert_allclose(curve.at(days), (1 - NEVER) * (1 - np.exp(-days / 4)), atol=0.02)
    assert curve.final == pytest.approx(1 - NEVER, abs=0.03)
    assert (delay <= age).mean() < curve.final - 0.02


def test_a_young_week_is_immature_and_what_it_will_get_is_foretold() -> None:
    age, delay = outcomes(1, 20_000, 60)
    curve = delay_curve(np.minimum(age, delay), delay <= age)
    held = 0
    for seed in range(40):
        age, delay = outcomes(100 + seed, 700, 7)
        found = maturity(curve, age, delay <= age)
        assert not found.mature
        held += found.expected.low <= np.isfinite(delay).sum() <= found.expected.high
    assert held >= 35
    age, delay = outcomes(2, 700, 7)
    assert maturity(curve, age + 21, delay <= age + 21).mature


def test_a_week_is_not_mature_before_there_is_a_curve() -> None:
    curve = delay_curve([1.0, 2.0], [True, True])
    assert maturity(curve, [10.0, 10.0], [True, True]).share == 1
    assert not maturity(curve, [10.0, 10.0], [True, True]).mature
    assert delay_curve([], []).final == 0
    with pytest.raises(ValueError, match="from 0"):
        delay_curve([-1.0], [True])


def test_two_versions_are_compared_by_rank() -> None:
    live, new = [0.9, 0.8, 0.7, 0.2, 0.1], [0.5, 0.1, 0.4, 0.45, 0.05]
    found = compare_versions(live, new, 2, most=2)
    assert (found.entered, found.left) == ([3], [1])
    assert [(part.row, part.live_rank, part.new_rank) for part in found.disagreements] == [
        (1, 0.75, 0.25),
        (3, 0.25, 0.75),
    ]
    from scipy.stats import spearmanr

    draw = np.random.default_rng(3)
    first, second = np.round(draw.random((2, 500)), 1)
    assert compare_versions(first, second, 5).rank_correlation == pytest.approx(spearmanr(first, second).statistic)
    assert np.isnan(compare_versions([1, 1], [1, 2], 1).rank_correlation)
    with pytest.raises(ValueError, match="k = 6"):
        compare_versions(live, new, 6)


def pictures() -> dict[str, str]:
    draw = np.random.default_rng(4)
    truth, score = draw.random(500) < 0.3, draw.random(500)
    found = {"live & <new>": evaluate_binary(truth, score)}
    bins = {name: as_json(evaluation.calibration) for name, evaluation in found.items()}
    was = numbers_reference(draw.normal(size=2_000))
    now = count(was, draw.normal(1, size=2_000))
    moved = compare(was.counted, now)
    return {
        "roc": curves.roc(found),
        "precision and recall": curves.precision_recall(found),
        "calibration": reliability.draw({"live": bins["live & <new>"]}, "share"),
        "confusion": confusion.draw(["a", "b"], evaluate_labels(["a", "b"], ["a", "a"]).confusion),
        "column": column.column("age", column.bins(was.edges), was.counted, now, moved),
    }


@pytest.mark.parametrize("name", pictures())
def test_a_picture_is_readable_without_script_and_says_what_it_shows(name: str) -> None:
    drawn = ElementTree.fromstring(pictures()[name])  # noqa: S314
    said = {part.tag.rpartition("}")[2]: part.text for part in drawn if part.text}
    assert said["title"]
    assert said["desc"]
    assert "script" not in pictures()[name]
    assert len(list(drawn.iter())) > 10


def test_results_are_json() -> None:
    found = [
        evaluate_binary([1, 0, 1], [0.9, 0.4, 0.6], tops={"1": 1}),
        evaluate_binary([0, 0], [0.9, 0.4]),
        judge([1, 0], [0.5, 0.4], [0.5, 0.4], margin=0.1),
        compare_versions([1, 2], [2, 1], 1),
        maturity(delay_curve([1.0], [True]), [2.0], [True]),
    ]
    written = json.loads(json.dumps([as_json(result) for result in found], allow_nan=False))
    assert written[0]["figures"]["auc"]["value"] == 1
    assert written[1]["figures"]["auc"] == {"value": None, "low": None, "high": None}
    assert written[2]["verdict"] == "too few to say"
    with pytest.raises(TypeError, match="a set has no form"):
        as_json({1, 2})
