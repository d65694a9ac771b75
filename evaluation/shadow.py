"""What would change if another version scored: how alike two versions order the same inputs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from evaluation.linear import Floats

DISAGREEMENTS = 50


@dataclass(frozen=True)
class Disagreement:
    """One input that the versions place far apart. Ranks are shares: 1 is the highest score, 0 the lowest."""

    row: int
    live: float
    new: float
    live_rank: float
    new_rank: float


@dataclass(frozen=True)
class ShadowComparison:
    rows: int
    rank_correlation: float
    """Spearman's; NaN where a version gives one score to all."""
    k: int
    entered: list[int]
    """Rows that only the new version has among its k highest, its highest first."""
    left: list[int]
    """Rows that only the live version has there, its highest first."""
    disagreements: list[Disagreement]
    """The largest differences of rank, the largest first."""


def compare_versions(live: ArrayLike, new: ArrayLike, k: int, most: int = DISAGREEMENTS) -> ShadowComparison:
    """Compare two versions' scores of the same rows; of equal scores the earlier row counts as the higher one.

    Raises ValueError where the lengths differ or k is not from 1 to the number of rows.
    """
    first, second = np.asarray(live, dtype=np.float64), np.asarray(new, dtype=np.float64)
    if first.shape != second.shape or not 1 <= k <= len(first):
        raise ValueError(f"live and new need one length, at least k: {len(first)}, {len(second)}, k = {k}")
    ranks = ranked(first), ranked(second)
    tops = [np.argsort(-scores, kind="stable")[:k] for scores in (first, second)]
    gap = np.abs(ranks[0] - ranks[1])
    furthest = np.argsort(-gap, kind="stable")[:most]
    return ShadowComparison(
        len(first),
        spearman(*ranks),
        k,
        tops[1][~np.isin(tops[1], tops[0])].tolist(),
        tops[0][~np.isin(tops[0], tops[1])].tolist(),
        [
            Disagreement(int(row), *(float(column[row]) for column in (first, second, *ranks)))
            for row in furthest
            if gap[row] > 0
        ],
    )


def ranked(score: Floats) -> Floats:
    """Return each score's rank as a share of the rows, equal scores sharing the mean of theirs."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count + 1) / 2
    shares: Floats = middle[place] / max(1, len(score) - 1)
    return shares


def spearman(first: Floats, second: Floats) -> float:
    """Return the correlation of two columns of ranks."""
    one, other = first - first.mean(), second - second.mean()
    spread = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / spread if spread else float("nan")
