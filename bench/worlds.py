"""Simulated worlds whose truth is known: what is scored, how it is reviewed, and what the reviews can say of it."""

import heapq
import random
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from evaluation.draws import Draws
from evaluation.linear import Flags, Floats

GONE = -1


@dataclass(frozen=True)
class World:
    """Items in the order of their arrival, and the log of the draws that reviewers were given."""

    truth: Flags
    score: Floats
    arrived: Floats
    draws: Draws

    @property
    def reviewed(self) -> Flags:
        seen = np.zeros(len(self.truth), bool)
        seen[self.draws.item] = True
        return seen


def world(
    seed: int,
    items: int = 20_000,
    capacity: float = 0.2,
    explore: float = 0.05,
    rate: float = 0.2,
    separation: float = 1.2,
    days: int = 1,
) -> World:
    """Score `items`, a share `rate` of them positive, and review a share `capacity` of them by rank and at random.

    The scores of positives lie `separation` standard deviations above the others', so the AUC is about
    Φ(separation / √2). They are probabilities. With several days, an equal part arrives and is reviewed on each.
    """
    draw = np.random.default_rng(seed)
    truth = draw.random(items) < rate
    latent = draw.normal(size=items) + separation * truth
    odds = np.log(rate / (1 - rate)) + separation * latent - separation**2 / 2
    score = 1 / (1 + np.exp(-odds))
    arrived = np.repeat(np.arange(days, dtype=np.float64), -(-items // days))[:items]
    return World(truth, score, arrived, review(score, arrived, round(items * capacity / days), explore, seed))


def review(score: Floats, arrived: Floats, a_day: int, explore: float, seed: int) -> Draws:
    """Draw `a_day` items on each day: with the chance `explore` any of the pool, else the highest score."""
    chance = random.Random(seed)  # noqa: S311
    waiting: list[tuple[float, int]] = []
    pool: list[int] = []
    place = [GONE] * len(score)
    log: list[tuple[int, float, bool, int]] = []
    for day in np.unique(arrived).tolist():
        new = np.flatnonzero(arrived == day)
        waiting += zip((-score[new]).tolist(), new.tolist(), strict=True)
        heapq.heapify(waiting)
        for item in new.tolist():
            place[item] = len(pool)
            pool.append(item)
        for number in range(min(a_day, len(pool))):
            at_random = chance.random() < explore
            item = pool[chance.randrange(len(pool))] if at_random else _highest(waiting, place)
            log.append((item, day + (number + 1) / (a_day + 1), at_random, len(pool)))
            last = pool.pop()
            if last != item:
                pool[place[item]], place[last] = last, place[item]
            place[item] = GONE
    return _columns(log)


def two_versions(
    seed: int, rows: int, rate: float, live: float, change: float, correlation: float
) -> tuple[Flags, Floats, Floats]:
    """Return outcomes and the scores of two versions: the new one's AUC is the live one's plus `change`.

    Both are normal with a variance of one on either side of the truth, `correlation` of each other there, so an AUC of
    A has the separation √2·Φ⁻¹(A).
    """
    draw = np.random.default_rng(seed)
    truth = draw.random(rows) < rate
    first = draw.normal(size=rows)
    second = correlation * first + np.sqrt(1 - correlation**2) * draw.normal(size=rows)
    apart = [np.sqrt(2) * NormalDist().inv_cdf(area) for area in (live, live + change)]
    return truth, first + apart[0] * truth, second + apart[1] * truth


def _highest(waiting: list[tuple[float, int]], place: list[int]) -> int:
    while True:
        _, item = heapq.heappop(waiting)
        if place[item] != GONE:  # else a random draw has taken it
            return item


def _columns(log: list[tuple[int, float, bool, int]]) -> Draws:
    columns: list[NDArray[np.float64]] = [np.array(column, dtype=np.float64) for column in zip(*log, strict=True)]
    item, at, at_random, pool = columns
    return Draws(item.astype(np.intp), at, at_random.astype(bool), pool)
