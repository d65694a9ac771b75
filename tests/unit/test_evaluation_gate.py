"""The gate refuses what is worse, passes what is equal, and says when it cannot tell."""

import numpy as np
import pytest

from bench.gate_study import MARGIN, WORSE, gate, smallest, verdicts
from bench.worlds import two_versions
from evaluation.gate import holm, judge
from evaluation.ranking import auc, rank
from evaluation.shadow import compare_versions
from evaluation.verdict import GateVerdict

ROWS = 5_000


def test_a_worse_version_is_refused_and_an_equal_one_passes() -> None:
    assert verdicts(100, ROWS, -WORSE)[GateVerdict.FAIL] >= 95
    assert verdicts(100, ROWS, 0)[GateVerdict.PASS] >= 90
    _, live, new = two_versions(0, ROWS, 0.2, 0.8, 0, 0.9)
    assert compare_versions(live, new, 500).rank_correlation >= 0.9


def test_the_difference_has_the_standard_error_of_a_paired_bootstrap() -> None:
    truth, live, new = two_versions(1, ROWS, 0.2, 0.8, 0, 0.9)
    draw = np.random.default_rng(2)
    again = []
    for _ in range(300):
        weight = draw.poisson(1, ROWS)
        again.append(auc(rank(truth, new, weight)).value - auc(rank(truth, live, weight)).value)
    told = judge(truth, live, new, margin=MARGIN).overall
    assert (told.high - told.low) / 2 / 1.645 == pytest.approx(np.std(again), rel=0.15)


def test_few_outcomes_cannot_tell() -> None:
    assert verdicts(20, 150, 0)[GateVerdict.TOO_FEW] >= 13
    truth, live, new = two_versions(3, 90, 0.2, 0.8, -0.3, 0.9)
    assert truth.sum() < 20
    assert judge(truth, live, new, margin=MARGIN).verdict is GateVerdict.TOO_FEW


def test_what_was_reviewed_by_rank_needs_more_reviews_and_they_decide() -> None:
    assert gate(0, ROWS, 0, share=0.5, explore=0.05).verdict is GateVerdict.TOO_FEW
    reviews = smallest(0.5, 0.2, seeds=1)
    assert reviews > 5_000
    assert verdicts(10, reviews, 0, 0.5, 0.2)[GateVerdict.PASS] >= 7
    assert verdicts(10, reviews, -WORSE, 0.5, 0.2)[GateVerdict.FAIL] >= 8


def test_a_version_that_is_worse_in_a_slice_fails_and_equal_slices_do_not() -> None:
    truth, live, new = two_versions(4, 4 * ROWS, 0.2, 0.8, 0, 0.95)
    parts = {f"type {part}": np.arange(len(truth)) % 4 == part for part in range(4)}
    assert judge(truth, live, new, margin=MARGIN, slices=parts).verdict is GateVerdict.PASS
    spoiled = np.where(parts["type 2"], new + np.random.default_rng(5).normal(size=len(new)), new)
    found = judge(truth, live, spoiled, margin=0.1, slices=parts)
    assert found.overall.verdict is GateVerdict.PASS
    assert judge(truth, live, spoiled, margin=0.05, slices=parts).slices["type 2"].verdict is GateVerdict.FAIL
    assert any("worse in type 2" in reason for reason in judge(truth, live, spoiled, margin=0.05, slices=parts).reasons)


def test_an_excepted_slice_stops_nothing_and_every_other_still_does() -> None:
    truth, live, new = two_versions(4, 4 * ROWS, 0.2, 0.8, 0, 0.95)
    parts = {f"type {part}": np.arange(len(truth)) % 20 == part for part in range(20)}
    noise = np.random.default_rng(5).normal(size=len(new))
    one = np.where(parts["type 2"], new + noise, new)
    assert judge(truth, live, one, margin=0.03, slices=parts).verdict is GateVerdict.FAIL
    found = judge(truth, live, one, margin=0.03, slices=parts, excepted=["type 2"])
    assert found.verdict is GateVerdict.PASS
    assert "excepted: worse in type 2" in found.reasons[1]
    two = np.where(parts["type 2"] | parts["type 3"], new + noise, new)
    assert judge(truth, live, two, margin=0.03, slices=parts, excepted=["type 2"]).verdict is GateVerdict.FAIL
    assert judge(truth, live, two, margin=0.03, slices=parts, excepted=["type 2", "type 3"]).verdict is GateVerdict.PASS
    worse = judge(truth, live, new + noise, margin=0.03, slices=parts, excepted=list(parts))
    assert worse.verdict is GateVerdict.FAIL, "an exception excuses a slice, not the whole"


def test_equal_versions_seldom_fail_in_any_of_many_slices() -> None:
    failed = 0
    for seed in range(60):
        truth, live, new = two_versions(seed, ROWS, 0.2, 0.8, 0, 0.9)
        parts = {str(part): np.arange(ROWS) % 10 == part for part in range(10)}
        found = judge(truth, live, new, margin=MARGIN, slices=parts)
        failed += any(part.verdict is GateVerdict.FAIL for part in found.slices.values())
    assert failed <= 7  # 5 % is 3; more than 7 of 60 has a chance of 1 in 100


def test_holms_values_rise_and_are_never_below_the_raw_ones() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_a_margin_needs_to_be_above_nothing() -> None:
    with pytest.raises(ValueError, match="margin is 0"):
        judge([1, 0], [0.5, 0.4], [0.5, 0.4], margin=0)
