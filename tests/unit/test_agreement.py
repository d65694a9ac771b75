"""Cohen's kappa and Krippendorff's alpha, against scikit-learn and the worked example of Krippendorff's own paper."""

import random

import pytest
from sklearn.metrics import cohen_kappa_score

from serving.agreement import cohen_kappa, krippendorff_alpha

KINDS = ("abuse", "not_abuse", "unclear")


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    first = dice.choices(KINDS, (3, 6, 1), k=200)
    second = [one if dice.random() < 0.7 else dice.choice(KINDS) for one in first]
    expected = cohen_kappa_score(first, second)
    assert cohen_kappa(list(zip(first, second, strict=True))) == pytest.approx(expected, abs=1e-12)


def test_alpha_is_that_of_the_paper() -> None:
    # K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, section C: four observers, twelve units
    observers = (
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    )
    units = [[said for said in unit if said != "."] for unit in zip(*(one.split() for one in observers), strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_alpha_of_two_reviewers_who_agree_by_chance_is_about_zero() -> None:
    dice = random.Random(1)  # noqa: S311
    assert krippendorff_alpha([dice.choices(KINDS, k=2) for _ in range(20_000)]) == pytest.approx(0, abs=0.02)


def test_full_agreement_is_one_and_what_is_not_defined_is_none() -> None:
    same = [("abuse", "abuse"), ("unclear", "unclear")]
    assert (cohen_kappa(same), krippendorff_alpha(same)) == (1, 1)
    assert cohen_kappa([]) is None
    assert krippendorff_alpha([["abuse"]]) is None
    assert cohen_kappa([("abuse", "abuse")] * 9) is None
    assert krippendorff_alpha([("abuse", "abuse")] * 9) is None
