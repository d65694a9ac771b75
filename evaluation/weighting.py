"""Weights that make the reviewed items stand for all of them, and the intervals of what is estimated with them.

The certain items are a census. The others are represented by the few that the random share drew, each of which stands
for many: the variance is theirs. Weights are those of Hájek (1971): 1/π, scaled so that each stratum's weights add up
to the number of its items, which is known, because every item has a score (post-stratification: Holt and Smith, JRSS A
1979). That removes the luck of how many were drawn, and corrects for those that were drawn and never decided. Bands of
scores as further strata made intervals 3 % shorter and let them miss more often, so there are none.
"""

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from evaluation.draws import Propensity
from evaluation.linear import CONFIDENCE, Estimate, Figure, Flags, Floats, interval_of, students_quantile

LEAST = 3
"""Decided random draws of either outcome. With fewer, nothing can be said of the items that were not certain."""


@dataclass(frozen=True)
class Weighting:
    """The decided items with their weights."""

    rows: NDArray[np.intp]
    """Which items of the population are decided, in rising order."""
    weight: Floats
    """How many items each stands for, itself propensities; at least 1 before clipping."""
    certain: Flags
    """Whether each of the rows was drawn by its rank."""
    sizes: tuple[int, int]
    """Items of the population that were not certain, and that were."""

    @property
    def unrepresented(self) -> int:
        """Return how many items no decided draw stands for. Figures say nothing about these."""
        held = int((~self.certain).sum()), int(self.certain.sum())
        return sum(size for size, decided in zip(self.sizes, held, strict=True) if not decided)

    def interval(
        self,
        estimate: Estimate,
        truth: Flags,
        endless: bool = False,
        share: bool = True,
        confidence: float = CONFIDENCE,
    ) -> Figure:
        """Return the interval of an estimate that was made with these rows and weights.

        It says how far the figure may be from that of all items, had all been decided; with `endless`, from that of the
        population whose sample the items are: a gate judges a version by what is to come. NaN without bounds where
        fewer than LEAST random draws of either outcome are decided, and the figure needs them.

        The quantile is Student's. The few draws of the rarer outcome carry the estimate and its standard error alike,
        so its degrees of freedom are their effective number less one: with the normal quantile, a recall that rested on
        nine such draws covered the truth in 90 of 100 worlds instead of 95.
        """
        sampled, missing = self._variances(estimate)
        beyond = float((estimate.influence**2 / self.weight).sum()) if endless else 0.0
        scarce = self.scarce(truth)
        if scarce < LEAST and not self._untouched(estimate):
            return Figure(estimate.value, nan, nan)
        total = sampled + missing + beyond
        many = max(2, len(self.rows)) - 1
        freedom = total**2 / (sampled**2 / max(1.0, scarce - 1) + (missing + beyond) ** 2 / many) if total else many
        rows = np.inf if not total and self._exact(estimate) else float(len(self.rows))
        return interval_of(estimate.value, total, students_quantile(confidence, freedom), rows if share else None)

    def variance(self, estimate: Estimate, endless: bool = False) -> float:
        """Return the variance that `interval` uses.

        Of a stratum with n of N decided: n/(n-1) · (1 - n/N) · Σ (w·(φ - mean φ))², Taylor's linearisation (Särndal,
        Swensson and Wretman, "Model Assisted Survey Sampling", 1992, 5.5 and 7.6). With `endless`, Σ w·φ² is added.
        """
        beyond = float((estimate.influence**2 / self.weight).sum()) if endless else 0.0
        return sum(self._variances(estimate)) + beyond

    def _variances(self, estimate: Estimate) -> tuple[float, float]:
        """Return the variances of the items that were not certain, and of certain ones that were never decided."""
        return self._of_stratum(estimate, ~self.certain, self.sizes[0]), self._of_stratum(
            estimate, self.certain, self.sizes[1]
        )

    def _of_stratum(self, estimate: Estimate, inside: Flags, size: int) -> float:
        rows = int(inside.sum())
        if not rows:
            return 0.0
        influence, weight = estimate.influence[inside], self.weight[inside]
        spread = influence - weight * (influence.sum() / weight.sum())
        return rows / max(1, rows - 1) * max(0.0, 1 - rows / size) * float(spread @ spread)

    def scarce(self, truth: Flags, inside: Flags | None = None) -> float:
        """Return the effective number of random draws of the rarer outcome, of all rows or of those `inside`.

        Infinite where each item was certain: then nothing rests on random draws.
        """
        if not self.sizes[0]:
            return float("inf")
        held = np.ones(len(truth), bool) if inside is None else inside
        return min(self._effective(truth & held), self._effective(~truth & held))

    def draws(self, chosen: Flags) -> float:
        """Return the effective number of random draws among the chosen rows; infinite where each item was certain."""
        return self._effective(chosen) if self.sizes[0] else float("inf")

    def _effective(self, chosen: Flags) -> float:
        """Return Kish's effective number of the chosen random draws."""
        weight = self.weight[chosen & ~self.certain]
        return float(weight.sum() ** 2 / (weight @ weight)) if len(weight) else 0.0

    def _exact(self, estimate: Estimate) -> bool:
        """Return whether nothing that was left out could change the figure."""
        return int(self.certain.sum()) == self.sizes[1] and (not self.sizes[0] or self._untouched(estimate))

    def _untouched(self, estimate: Estimate) -> bool:
        """Return whether the random draws, whatever their outcomes, do not enter the figure: the top of the queue."""
        drawn = ~self.certain
        return bool(drawn.any()) and not (estimate.positive[drawn].any() or estimate.negative[drawn].any())


def weigh(propensities: Propensity, decided: Flags, clip: float | None = None) -> Weighting:
    """Return the weights of the decided items of a population.

    `clip` bounds the weights before they are scaled anew: a little bias for much less variance, as a training wants it
    (Ionides, "Truncated importance sampling", JCGS 2008). Figures are made without.
    """
    rows = np.flatnonzero(decided & (propensities.chance > 0))
    certain = propensities.certain[rows]
    raw = 1 / propensities.chance[rows]
    sizes = int((~propensities.certain).sum()), int(propensities.certain.sum())
    weight = np.where(certain, _scaled(raw, certain, sizes[1]), _scaled(raw, ~certain, sizes[0]))
    if clip is not None:
        weight = _scaled(np.minimum(weight, clip), np.ones(len(rows), bool), round(float(weight.sum())))
    return Weighting(rows, weight, certain, sizes)


def horvitz_thompson(propensities: Propensity, decided: Flags) -> Floats:
    """Return 1/π of the decided items: unbiased for totals, and far noisier than `weigh` for rates."""
    return 1 / propensities.chance[decided]


def _scaled(weight: Floats, inside: Flags, size: int) -> Floats:
    scaled: Floats = weight * (size / max(float(weight[inside].sum()), 1e-300))
    return scaled
