"""Reviewed items speak for all of them, in simulated worlds whose truth is known."""

from pathlib import Path

import numpy as np
import pytest

from bench.weighting_study import METRICS, figures, main, study
from bench.worlds import review, world
from evaluation.binary import evaluate_binary
from evaluation.draws import Draws, propensity
from evaluation.linear import Floats
from evaluation.weighting import horvitz_thompson, weigh


@pytest.mark.parametrize(("worlds", "days"), [(100, 1), (30, 7)])
def test_the_weighted_interval_holds_the_truth_and_the_naive_figure_does_not(worlds: int, days: int) -> None:
    found = study(worlds, days)
    for name in ("precision@top", "recall@top", "auc"):
        assert sum(figures[name].covered for figures in found) >= 0.9 * worlds, name
    assert sum(abs(figures["auc"].naive - figures["auc"].truth) > 0.03 for figures in found) >= 0.9 * worlds


def test_propensities_are_how_often_an_item_is_drawn() -> None:
    draw = np.random.default_rng(0)
    score, arrived = draw.random(40), np.repeat([0.0, 1.0], 20)
    drawn, chances = np.zeros(40), np.zeros(40)
    for seed in range(4_000):
        draws = review(score, arrived, 8, 0.5, seed)
        drawn[draws.item] += 1
        chances += propensity(arrived, score, draws).chance
    np.testing.assert_allclose(chances / 4_000, drawn / 4_000, atol=0.03)


def log(*drawn: tuple[int, bool, int]) -> Draws:
    item, at_random, pool = (np.array(column) for column in zip(*drawn, strict=True))
    return Draws(item.astype(np.intp), np.arange(1.0, len(drawn) + 1), at_random.astype(bool), pool.astype(float))


def test_an_item_above_the_lowest_ranked_draw_was_certain() -> None:
    score = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
    found = propensity(np.zeros(5), score, log((0, False, 5), (1, True, 4), (2, False, 3)))
    assert found.certain.tolist() == [True, True, True, False, False]
    np.testing.assert_allclose(found.chance, [1, 1, 1, 0.25, 0.25])


def test_a_draw_reaches_only_what_had_arrived_and_fits_its_filter() -> None:
    score = np.array([0.9, 0.5, 0.4, 0.3, 0.2])
    arrived = np.array([0.0, 0.0, 0.0, 0.0, 1.5])
    draws = log((0, False, 2), (3, True, 2))
    draws = Draws(draws.item, draws.at, draws.random, draws.pool, np.array(["type=a", "type=b"]))
    fits = {"type=a": np.array([1, 1, 0, 0, 0], bool), "type=b": np.array([0, 0, 1, 1, 1], bool)}
    found = propensity(arrived, score, draws, fits)
    np.testing.assert_allclose(found.chance, [1, 0, 0.5, 0.5, 0.5])
    with pytest.raises(ValueError, match="'type=b'"):
        propensity(arrived, score, draws, {"type=a": fits["type=a"]})


def test_weights_add_up_to_the_items_also_where_some_drawn_ones_were_never_decided() -> None:
    simulated = world(1, items=2_000)
    propensities = propensity(simulated.arrived, simulated.score, simulated.draws)
    decided = simulated.reviewed & (np.arange(2_000) % 3 > 0)
    found = weigh(propensities, decided)
    assert found.weight.sum() == pytest.approx(2_000)
    assert found.weight[found.certain].sum() == pytest.approx(propensities.certain.sum())
    assert horvitz_thompson(propensities, simulated.reviewed).sum() == pytest.approx(2_000, rel=0.5)
    clipped = weigh(propensities, decided, clip=10)
    assert clipped.weight.sum() == pytest.approx(2_000)
    assert clipped.weight.max() < found.weight.max() / 2


def test_a_figure_of_a_census_is_exact_and_one_without_random_draws_has_no_interval() -> None:
    score = np.linspace(1, 0, 200)
    truth = np.arange(200) % 4 == 0
    drawn: Floats = np.arange(100.0)
    ranked = Draws(drawn.astype(np.intp), drawn + 1, np.zeros(100, bool), 200 - drawn)
    half = weigh(propensity(np.zeros(200), score, ranked), np.arange(200) < 100)
    assert half.unrepresented == 100
    assert np.isnan(evaluate_binary(truth[:100], score[:100], half).figures["auc"].low)
    everything = Draws(np.arange(200), np.arange(1.0, 201), np.zeros(200, bool), 200.0 - np.arange(200))
    whole = weigh(propensity(np.zeros(200), score, everything), np.ones(200, bool))
    figure = evaluate_binary(truth, score, whole).figures["auc"]
    assert figure.low == figure.value == figure.high
    few = Draws(
        np.append(ranked.item, [150]),
        np.append(ranked.at, 101),
        np.append(ranked.random, True),
        np.append(ranked.pool, 100),
    )
    decided = (np.arange(200) < 100) | (np.arange(200) == 150)
    given = weigh(propensity(np.zeros(200), score, few), decided)
    found = evaluate_binary(truth[given.rows], score[given.rows], given, thresholds={"top": score[49]}).figures
    assert np.isnan(found["auc"].low)
    assert found["precision@top"].low == found["precision@top"].high == truth[:50].mean()


def test_the_study_prints_its_table_and_draws_its_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "weighting.svg"
    assert main(["--worlds", "3", "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in METRICS)
    assert picture.read_text().startswith("<svg")
    assert set(figures(world(0, items=2_000))) == set(METRICS)
