"""The gate of classifiers with many labels: accuracy and macro F1 of two versions on the same rows."""

import numpy as np
import pytest
from sklearn import metrics

from evaluation.draws import Propensity
from evaluation.gate import LEAST
from evaluation.label_gate import judge_labels
from evaluation.verdict import GateVerdict
from evaluation.weighting import weigh

ROWS, MARGIN = 5_000, 0.015
KINDS = np.array(["billing", "delivery", "praise", "other"], dtype=object)

Columns = tuple[np.ndarray, np.ndarray, np.ndarray]


def world(seed: int, worse: float, rows: int = ROWS) -> Columns:
    """Return the truth, and the labels of two versions, equal but for a share of the new one's that is always wrong."""
    chance = np.random.default_rng(seed)
    truth = chance.choice(KINDS, rows, p=[0.4, 0.3, 0.2, 0.1])
    live, other = (np.where(chance.random(rows) < 0.8, truth, chance.choice(KINDS, rows)) for _ in range(2))
    new = np.where(chance.random(rows) < 0.1, other, live)
    return truth, live, np.where(chance.random(rows) < worse, "nonsense", new)


def verdicts(worse: float, seeds: int) -> list[set[GateVerdict]]:
    found = (judge_labels(*world(seed, worse), margin=MARGIN) for seed in range(seeds))
    return [{report.verdict for report in one.values()} for one in found]


def test_a_worse_version_is_refused_and_one_that_is_no_worse_passes() -> None:
    assert sum(GateVerdict.FAIL in one for one in verdicts(0.08, 40)) >= 38
    assert sum(one == {GateVerdict.PASS} for one in verdicts(0.0, 40)) >= 36


def test_the_figures_are_those_of_scikit_learn() -> None:
    truth, live, new = world(1, 0.05)
    found = judge_labels(truth, live, new, margin=MARGIN)
    for guess, side in ((live, "live"), (new, "new")):
        true, guessed = truth.tolist(), guess.tolist()
        assert getattr(found["accuracy"].overall, side) == pytest.approx(
            metrics.accuracy_score(true, guessed), abs=1e-9
        )
        macro = metrics.f1_score(true, guessed, average="macro", labels=sorted(set(true)))
        assert getattr(found["macro_f1"].overall, side) == pytest.approx(macro, abs=1e-9)
    assert found["accuracy"].overall.positives == (truth == live).sum()


@pytest.mark.parametrize("seed", range(3))
def test_a_label_that_is_never_true_and_guessed_once_is_no_news(seed: int) -> None:
    truth, live, _ = world(seed, 0.0)
    stray = live.copy()
    stray[np.flatnonzero(live != truth)[0]] = "nonsense"  # wrong before and after
    for one, other in ((live, stray), (stray, live)):
        found = judge_labels(truth, one, other, margin=MARGIN)
        assert {report.verdict for report in found.values()} == {GateVerdict.PASS}
        assert all(abs(report.overall.difference) < 0.001 for report in found.values())


@pytest.mark.parametrize("rows", [20, 50, 100, 200, 500])
def test_a_version_that_is_worse_by_the_margin_seldom_passes_though_few_rows_differ(rows: int) -> None:
    def passes(seed: int) -> bool:
        chance = np.random.default_rng(seed)
        truth = chance.choice(["a", "b"], rows)
        live = np.where(chance.random(rows) < 0.9, truth, "c")
        new = np.where((live == truth) & (chance.random(rows) < MARGIN / 0.9), "c", live)
        return judge_labels(truth, live, new, margin=MARGIN)["accuracy"].verdict is GateVerdict.PASS

    assert sum(map(passes, range(400))) <= 0.09 * 400  # 5 % and three standard errors of so many tries


def test_a_version_with_the_same_labels_passes_where_there_are_enough() -> None:
    for rows, verdict in ((100, GateVerdict.TOO_FEW), (400, GateVerdict.PASS)):
        truth, live, _ = world(1, 0.0, rows)
        assert judge_labels(truth, live, live, margin=MARGIN)["accuracy"].verdict is verdict


def test_the_differences_have_the_standard_errors_of_a_paired_bootstrap() -> None:
    columns = world(2, 0.05)
    draw = np.random.default_rng(3)
    again: dict[str, list[float]] = {"accuracy": [], "macro_f1": []}
    for _ in range(300):
        rows = draw.integers(0, ROWS, ROWS)
        for name, report in judge_labels(*(column[rows] for column in columns), margin=MARGIN).items():
            again[name].append(report.overall.difference)
    for name, report in judge_labels(*columns, margin=MARGIN).items():
        error = (report.overall.high - report.overall.low) / 2 / 1.645
        assert error == pytest.approx(np.std(again[name]), rel=0.15), name


def test_a_rare_label_cannot_tell_about_macro_f1() -> None:
    truth, live, new = world(4, 0.0)
    rare = np.flatnonzero(truth == "other")[LEAST - 1 :]
    truth[rare] = "praise"
    found = judge_labels(truth, live, new, margin=0.2)
    assert found["accuracy"].verdict is GateVerdict.PASS
    assert found["macro_f1"].verdict is GateVerdict.TOO_FEW


def test_a_version_that_is_worse_in_a_slice_fails() -> None:
    truth, live, new = world(5, 0.0, 4 * ROWS)
    parts = {f"plan {part}": np.arange(len(truth)) % 4 == part for part in range(4)}
    assert {one.verdict for one in judge_labels(truth, live, new, margin=0.1, slices=parts).values()} == {
        GateVerdict.PASS
    }
    spoiled = np.where(parts["plan 2"] & (np.random.default_rng(6).random(len(truth)) < 0.2), "nothing", new)
    found = judge_labels(truth, live, spoiled, margin=0.1, slices=parts)["accuracy"]
    assert (found.verdict, found.slices["plan 2"].verdict) == (GateVerdict.FAIL, GateVerdict.FAIL)
    excused = judge_labels(truth, live, spoiled, margin=0.1, slices=parts, excepted=["plan 2"])["accuracy"]
    assert excused.verdict is GateVerdict.PASS


def test_random_draws_stand_for_the_rows_that_nobody_reviewed() -> None:
    truth, live, new = world(7, 0.0, 20 * ROWS)
    spoiled = np.where((truth == "praise") & (np.random.default_rng(8).random(len(truth)) < 0.3), "other", new)
    certain = truth != "praise"  # reviewers took all of what the new version has right
    chance = np.where(certain, 1.0, 0.05)
    decided = np.random.default_rng(9).random(len(truth)) < chance
    weighting = weigh(Propensity(chance, certain), decided)
    rows = weighting.rows
    found = judge_labels(truth[rows], live[rows], spoiled[rows], margin=MARGIN, weighting=weighting)["accuracy"]
    whole = judge_labels(truth, live, spoiled, margin=MARGIN)["accuracy"].overall.difference
    naive = judge_labels(truth[rows], live[rows], spoiled[rows], margin=MARGIN)["accuracy"].overall.difference
    assert found.overall.low < whole < found.overall.high
    assert abs(naive - whole) > 5 * abs(found.overall.difference - whole)


def test_columns_need_one_length() -> None:
    with pytest.raises(ValueError, match="one length"):
        judge_labels(["a"], ["a", "b"], ["a"], margin=MARGIN)
