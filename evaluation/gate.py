"""Whether a new version is not worse than the live one, on the same outcomes: pass, fail, or too few to say."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from math import isnan, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from evaluation.linear import Estimate, Flags, Floats, rows_of
from evaluation.ranking import Ranking, auc, rank
from evaluation.verdict import GateVerdict
from evaluation.weighting import Weighting

ERROR = 0.05
"""The chance of passing a version that is worse by the whole margin, and that of failing one that is not worse."""

LEAST = 20
"""Outcomes of either kind, and random draws of either kind where only a part was reviewed. With fewer, the standard
error is itself a guess."""

Metric = Callable[[Ranking], Estimate]


@dataclass(frozen=True)
class Comparison:
    """Two versions on the same rows. A difference is the new version's figure less the live one's."""

    rows: int
    positives: int
    """Of these, with the target outcome; of a classifier with many labels, those that the live version has right."""
    live: float
    new: float
    difference: float
    low: float
    """The difference is above it with a chance of 95 %."""
    high: float
    """The difference is below it with a chance of 95 %."""
    worse: float
    """The chance of such a difference, or a lower one, between equal versions: the p-value of "it is worse"."""
    verdict: GateVerdict


@dataclass(frozen=True)
class GateReport:
    """The verdict over all rows, and over each slice."""

    metric: str
    margin: float
    overall: Comparison
    slices: dict[str, Comparison]
    """Their verdicts are corrected for how many slices there are; `low`, `high` and `worse` are not."""
    verdict: GateVerdict
    reasons: list[str]


def judge(
    truth: ArrayLike,
    live: ArrayLike,
    new: ArrayLike,
    *,
    margin: float,
    weighting: Weighting | None = None,
    slices: Mapping[str, Flags] | None = None,
    excepted: Collection[str] = (),
    metric: Metric = auc,
) -> GateReport:
    """Compare two versions' scores of the same rows. `metric` is one that is better when it is higher.

    Pass: the difference is above -margin with 95 % confidence (a test of non-inferiority, as in FDA, "Non-Inferiority
    Clinical Trials", 2016). Fail: that is not shown, and the new version is worse with 95 % confidence. Else, or below
    LEAST outcomes of either kind: too few to say.

    A slice fails by the same rule, with the p-values of all slices corrected by Holm (Scandinavian Journal of
    Statistics 1979): equal versions fail in any of the slices in 5 % at most. A slice that is too small stops nothing.
    An `excepted` slice stops nothing either, and is not among those that are corrected for; its rows stay in the whole.

    The difference's standard error is that of paired influences: DeLong's for the AUC. A paired bootstrap gives the
    same, as the tests show. With `weighting`, it is that of the population to come.
    """
    rows = rows_of(truth, live, None if weighting is None else weighting.weight)
    second = rows_of(truth, new)[1]
    compare = partial(_compare, rows, second, margin, weighting, metric)
    return judged(getattr(metric, "__name__", "metric"), margin, compare, len(second), slices, excepted)


def judged(
    metric: str,
    margin: float,
    compare: Callable[[Flags], Comparison],
    rows: int,
    slices: Mapping[str, Flags] | None,
    excepted: Collection[str],
) -> GateReport:
    """Return the report on so many rows, given what compares those inside. Raises ValueError for a wrong margin."""
    if margin <= 0:
        raise ValueError(f"margin is {margin:g}; it needs to be above 0")
    overall = compare(np.ones(rows, bool))
    corrected = _corrected({name: compare(inside) for name, inside in (slices or {}).items()}, excepted)
    failed = [name for name, part in corrected.items() if part.verdict is GateVerdict.FAIL and name not in excepted]
    verdict = GateVerdict.FAIL if failed else overall.verdict
    reasons = _reasons(overall, corrected, margin, excepted)
    return GateReport(metric, margin, overall, corrected, verdict, reasons)


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's adjusted p-values: the k-th smallest of n times n - k + 1, none below the one before."""
    adjusted, highest = {}, 0.0
    for place, (name, value) in enumerate(sorted(values.items(), key=lambda pair: pair[1])):
        highest = max(highest, min(1.0, value * (len(values) - place)))
        adjusted[name] = highest
    return adjusted


def _compare(
    rows: tuple[Flags, Floats, Floats],
    second: Floats,
    margin: float,
    weighting: Weighting | None,
    metric: Metric,
    inside: Flags,
) -> Comparison:
    truth, first, weight = (column[inside] for column in rows)
    was, now = metric(rank(truth, first, weight)), metric(rank(truth, second[inside], weight))
    positives = int(truth.sum())
    scarce: float = min(positives, len(truth) - positives)
    if weighting is not None:
        scarce = min(scarce, weighting.scarce(rows[0], inside))
    return compared(len(truth), positives, was, now, scarce, inside, margin, weighting)


def compared(
    rows: int,
    positives: int,
    was: Estimate,
    now: Estimate,
    scarce: float,
    inside: Flags,
    margin: float,
    weighting: Weighting | None,
) -> Comparison:
    """Return the comparison of the two figures of the rows inside; below LEAST of what is scarce, none can tell."""
    change = now.value - was.value
    error = sqrt(_variance(now, was, inside, weighting))
    reach = NormalDist().inv_cdf(1 - ERROR) * error
    worse = NormalDist().cdf(change / error) if error > 0 else 1.0 if change >= 0 else 0.0
    low, high = change - reach, change + reach
    verdict = _verdict(low, high, margin) if scarce >= LEAST and not isnan(error) else GateVerdict.TOO_FEW
    return Comparison(rows, positives, was.value, now.value, change, low, high, worse, verdict)


def _variance(now: Estimate, was: Estimate, inside: Flags, weighting: Weighting | None) -> float:
    difference = Estimate(
        now.value - was.value,
        now.positive - was.positive,
        now.negative - was.negative,
        now.influence - was.influence,
    )
    if weighting is None:
        return difference.variance()
    # Rows outside the slice add nothing to its figures; the strata are those of all rows.
    spread = np.zeros(len(inside))
    spread[inside] = difference.influence
    return weighting.variance(Estimate(difference.value, spread, spread, spread), endless=True)


def _verdict(low: float, high: float, margin: float) -> GateVerdict:
    if low > -margin:
        return GateVerdict.PASS
    return GateVerdict.FAIL if high < 0 else GateVerdict.TOO_FEW


def _corrected(parts: dict[str, Comparison], excepted: Collection[str]) -> dict[str, Comparison]:
    told = {name: part.worse for name, part in parts.items() if not isnan(part.worse) and name not in excepted}
    adjusted = holm(told)
    return {
        name: part
        if part.verdict is not GateVerdict.FAIL or name in excepted or adjusted[name] < ERROR
        else Comparison(**{**vars(part), "verdict": GateVerdict.TOO_FEW})
        for name, part in parts.items()
    }


def _reasons(
    overall: Comparison, slices: Mapping[str, Comparison], margin: float, excepted: Collection[str]
) -> list[str]:
    said = {
        GateVerdict.PASS: f"not worse by {margin:g} or more: the difference is above {overall.low:+.4f}",
        GateVerdict.FAIL: f"worse: the difference is {overall.difference:+.4f}, and below {overall.high:+.4f}",
        GateVerdict.TOO_FEW: f"{overall.rows} outcomes cannot tell: the difference lies between {overall.low:+.4f} and "
        f"{overall.high:+.4f}",
    }
    worse = [
        f"{'excepted: ' if name in excepted else ''}worse in {name}: the difference is {part.difference:+.4f}"
        for name, part in slices.items()
        if part.verdict is GateVerdict.FAIL
    ]
    return [said[overall.verdict], *worse]
