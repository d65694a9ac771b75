"""How complete the outcomes of a period are, by how long outcomes have taken so far.

A week that has just ended lacks the outcomes that take long, and these are not like the others. So no alarm is raised
on it before it is mature.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from evaluation.linear import CONFIDENCE, Figure, Flags, Floats, normal_quantile

MATURE = 0.8
"""The share of a period's outcomes that needs to be there before its figures may raise an alarm."""

LEAST = 30
"""Outcomes that a delay curve needs; before, no period is mature."""


@dataclass(frozen=True)
class DelayCurve:
    """The share of predictions that have an outcome within a delay, at each delay at which it rises."""

    delays: Floats
    """Rising, in the unit of what was given."""
    decided: Floats
    error: Floats
    """Greenwood's standard error of `decided`."""
    outcomes: int

    def at(self, age: ArrayLike) -> Floats:
        """Return the share decided at each age."""
        place = np.searchsorted(self.delays, np.asarray(age, dtype=np.float64), side="right")
        return np.append(0.0, self.decided)[place]

    @property
    def final(self) -> float:
        """Return the share that is decided in the end, as far as can be seen: many predictions never are."""
        return float(self.decided[-1]) if len(self.decided) else 0.0


@dataclass(frozen=True)
class Maturity:
    """The outcomes that a period has, and those that are to be expected."""

    predictions: int
    outcomes: int
    expected: Figure
    """Outcomes in the end."""
    share: float
    """Of the expected ones, those that are there by now according to the curve, within [0, 1]."""
    mature: bool


def delay_curve(delay: ArrayLike, decided: ArrayLike) -> DelayCurve:
    """Return the curve of Kaplan and Meier (JASA 1958), 1 - Π (1 - d/n) over the delays.

    `delay` is from prediction to outcome; of a prediction without one, its age: it says only that it took longer. So
    young predictions do not pull the curve down. Ages and delays need one unit. Raises ValueError for a negative one.
    """
    times, ended = np.asarray(delay, dtype=np.float64), np.asarray(decided, dtype=bool)
    if len(times) and times.min() < 0:
        raise ValueError("delay needs numbers from 0: an outcome does not come before its prediction")
    ordered = np.sort(times)
    distinct, deaths = np.unique(times[ended], return_counts=True)
    at_risk = len(times) - np.searchsorted(ordered, distinct, side="left")
    waiting = np.cumprod(1 - deaths / at_risk).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(deaths / (at_risk * (at_risk - deaths)))
        error = np.where(waiting > 0, waiting * np.sqrt(greenwood), 0.0)
    return DelayCurve(distinct, 1 - waiting, error.astype(np.float64), int(ended.sum()))


def maturity(curve: DelayCurve, age: ArrayLike, decided: ArrayLike) -> Maturity:
    """Return how mature a period is whose predictions have these ages now."""
    ages = np.asarray(age, dtype=np.float64)
    return grown(curve, curve.at(ages), np.asarray(decided, dtype=bool))


def grown(curve: DelayCurve, so_far: Floats, decided: Flags) -> Maturity:
    """Return how mature a period is, given the curve at its predictions' ages.

    Expected are the outcomes that are there, and for each prediction without one (F(∞) - F(age)) / (1 - F(age)), the
    chance that one still comes. The interval is of their own chance (binomial) and of the curve's end (Greenwood).
    """
    final, waited = curve.final, so_far[~decided]
    still = (final - waited) / np.maximum(1 - waited, 1e-12)
    outcomes, coming = int(decided.sum()), float(still.sum())
    own = float((still * (1 - still)).sum())
    ending = float(curve.error[-1]) * len(still) if len(curve.error) else 0.0
    reach = normal_quantile(CONFIDENCE) * sqrt(own + ending**2) if coming else 0.0
    expected = Figure(
        outcomes + coming, max(outcomes, outcomes + coming - reach), min(len(so_far), outcomes + coming + reach)
    )
    share = float(so_far.mean()) / final if final and len(so_far) else 0.0
    return Maturity(len(so_far), outcomes, expected, share, share >= MATURE and curve.outcomes >= LEAST)
