"""The chance with which each item of a queue came to a reviewer, out of the log of draws.

A queue gives the highest score next, and with a small chance any of its items. So some items are certain to be drawn,
and the others are drawn by the random share alone. Both follow from the log: nothing about the model is assumed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.linear import Flags, Floats

ALL = ""
"""The filter of a draw from the whole queue."""


@dataclass(frozen=True)
class Draws:
    """The log of draws, a row a draw. `at` is any number that rises with time, on the scale of the items' arrivals."""

    item: NDArray[np.intp]
    """Which item of the population was drawn, by its place."""
    at: Floats
    random: Flags
    """Whether the policy was random: each item of the pool had the same chance. Else the highest score was drawn."""
    pool: Floats
    """Items of the pool before the draw: those that fit the filter, and were neither drawn nor decided."""
    filter: NDArray[np.str_] | None = None
    """The filter of each draw; None: all drew from the whole queue."""


@dataclass(frozen=True)
class Propensity:
    """For each item of the population, the chance that it came to a reviewer."""

    chance: Floats
    """Within [0, 1]; 0 where no random draw could have reached the item."""
    certain: Flags
    """Drawn by its rank whatever the random draws had been."""


def propensity(arrived: Floats, score: Floats, draws: Draws, fits: Mapping[str, Flags] | None = None) -> Propensity:
    """Return each item's chance of having been drawn, given which draws were random and how large the pools were.

    An item was certain if a ranked draw that it could have been in took a lower score: had it still been there, it
    would have come first. Of the others, π = 1 - Π (1 - 1/M) over the random draws from a pool of M that it was in:
    given the policies, each random draw is a simple random sample of one (Horvitz and Thompson, JASA 1952; for a
    sample whose chances depend on the draws before, Thompson and Seber, "Adaptive Sampling", 1996).

    `arrived` and `score` hold the population; `fits` gives, for each filter in the log, which items fit it.
    Raises ValueError where a filter is missing.
    """
    certain = np.zeros(len(score), bool)
    missed = np.zeros(len(score))
    certain[draws.item[~draws.random]] = True
    for name, of_filter in _by_filter(draws):
        eligible = _fitting(name, fits, len(score))
        lowest = np.minimum.accumulate(np.where(of_filter.random, np.inf, score[of_filter.item])[::-1])[::-1]
        with np.errstate(divide="ignore"):  # a pool of one leaves no chance of being missed
            steps = np.where(of_filter.random, np.log1p(-1 / np.maximum(of_filter.pool, 1)), 0.0)
        later = np.cumsum(steps[::-1])[::-1]
        first = np.searchsorted(of_filter.at, arrived)
        certain |= eligible & (score > np.append(lowest, np.inf)[first])
        missed += np.where(eligible, np.append(later, 0.0)[first], 0.0)
    return Propensity(np.where(certain, 1.0, -np.expm1(missed)), certain)


def _by_filter(draws: Draws) -> list[tuple[str, Draws]]:
    order = np.argsort(draws.at, kind="stable")
    filters = np.full(len(order), ALL) if draws.filter is None else draws.filter[order]
    found = []
    for name in np.unique(filters):
        rows = order[filters == name]
        found.append((str(name), Draws(draws.item[rows], draws.at[rows], draws.random[rows], draws.pool[rows])))
    return found


def _fitting(name: str, fits: Mapping[str, Flags] | None, items: int) -> Flags:
    if name == ALL and (fits is None or ALL not in fits):
        return np.ones(items, bool)
    if fits is None or name not in fits:
        raise ValueError(f"the log holds draws with the filter {name!r}; say in `fits` which items fit it")
    return fits[name]
