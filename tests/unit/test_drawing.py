"""The chances that are noted with draws are those with which predictions really come."""

import random
from collections import Counter, defaultdict
from functools import cache

import pytest

from handler.triage.drawing import draw
from store.outcome_tables import Policy

POOL, N, SHARE, WORLDS = 12, 4, 0.3, 8_000


@cache
def worlds(seed: int = 7) -> list[list[tuple[int, Policy, int, float]]]:
    """Draw from one pool again and again; its predictions are called by their ranks."""
    dice, ranked = random.Random(seed), list(range(POOL))  # noqa: S311
    return [
        [tuple(one) for one in draw(ranked[:N], dice.sample(ranked, N), POOL, N, SHARE, dice.random)]
        for _ in range(WORLDS)
    ]


def test_the_noted_chances_reproduce_how_often_each_prediction_is_drawn() -> None:
    """Of a draw's chances given the earlier draws, the mean over all worlds is how often it gives the prediction."""
    expected: dict[int, float] = defaultdict(float)
    drawn: Counter[int] = Counter()
    for world in worlds():
        left = set(range(POOL))
        for prediction, _, pool, chance in world:
            assert pool == len(left)
            first = min(left)
            for one in left:
                expected[one] += SHARE / pool + (1 - SHARE) * (one == first)
            assert chance == SHARE / pool + (1 - SHARE) * (prediction == first)
            left.remove(prediction)
            drawn[prediction] += 1
    for rank in range(POOL):
        deviation = (WORLDS * 0.25) ** 0.5  # at most, of a count
        assert drawn[rank] == pytest.approx(expected[rank], abs=5 * deviation)


def test_weights_of_the_log_estimate_the_whole_pool_without_bias() -> None:
    """The estimator of Farquhar et al. (2021, "On Statistical Bias in Active Learning"), by pool and chance alone."""
    truth = [1.0 if rank % 3 == 0 else 0.0 for rank in range(POOL)]
    estimates = []
    for world in worlds():
        total = 0.0
        for m, (prediction, _, _, chance) in enumerate(world, start=1):
            weight = 1 + (POOL - N) / (POOL - m) * (1 / ((POOL - m + 1) * chance) - 1)
            total += weight * truth[prediction] / N
        estimates.append(total)
    error = (sum((one - sum(estimates) / WORLDS) ** 2 for one in estimates) / WORLDS) ** 0.5 / WORLDS**0.5
    assert sum(estimates) / WORLDS == pytest.approx(sum(truth) / POOL, abs=5 * error)


def test_a_share_of_draws_is_random_and_the_others_take_the_highest_rank_that_is_left() -> None:
    policies = Counter(policy for world in worlds() for _, policy, _, _ in world)
    assert policies[Policy.RANDOM] / policies.total() == pytest.approx(SHARE, abs=0.01)
    for world in worlds(8)[:1000]:
        left = set(range(POOL))
        for prediction, policy, _, _ in world:
            assert policy is Policy.RANDOM or prediction == min(left)
            left.remove(prediction)


def test_a_small_pool_is_drawn_whole_and_an_empty_one_gives_nothing() -> None:
    for share in (0.0, 0.5, 1.0):
        dice = random.Random(3)  # noqa: S311
        drawn = [one.prediction for one in draw("abc", "cab", 3, 20, share, dice.random)]
        assert sorted(drawn) == ["a", "b", "c"]
    assert list(draw("", "", 0, 5, 0.5, random.random)) == []
