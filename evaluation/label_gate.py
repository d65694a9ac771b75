"""Whether a new version of a classifier with many labels is not worse than the live one: accuracy and macro F1.

The gate of scores (gate.py) with other metrics. Both are compared on the same rows, by the paired influences of each
row; a paired bootstrap gives the same standard errors, as the tests show, in some thousand times the time.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.gate import ERROR, LEAST, Comparison, GateReport, compared, judged
from evaluation.labels import accuracy_of, macro_f1_of
from evaluation.linear import Flags, Floats
from evaluation.verdict import GateVerdict
from evaluation.weighting import Weighting

LabelCodes = NDArray[np.intp]
"""As numbers."""

METRICS = {"accuracy": accuracy_of, "macro_f1": macro_f1_of}


def judge_labels(
    truth: ArrayLike,
    live: ArrayLike,
    new: ArrayLike,
    *,
    margin: float,
    weighting: Weighting | None = None,
    slices: Mapping[str, Flags] | None = None,
    excepted: Collection[str] = (),
) -> dict[str, GateReport]:
    """Compare two versions' labels of the same rows: a report for accuracy and one for macro F1.

    Verdicts, slices and exceptions are those of `gate.judge`. Macro F1 is the mean over labels, so a label with few
    outcomes moves it as much as any other: it is too few to say where the rarest true label has less than LEAST. Where
    the versions differ in less than LEAST rows, it passes if even all that may have gone wrong is within the margin.
    Raises ValueError where the margin is not above 0 or the lengths differ.
    """
    columns = [np.asarray(column) for column in (truth, live, new)]
    true, first, second = (len(column) for column in columns)
    if not true == first == second:
        raise ValueError(f"truth, live and new need one length: {true}, {first}, {second}")
    codes = np.unique(np.concatenate(columns), return_inverse=True)[1].reshape(3, true)
    weight = np.ones(true) if weighting is None else weighting.weight
    rows = (codes[0], codes[1], codes[2], weight)
    return {
        name: judged(name, margin, partial(_compare, name, rows, margin, weighting), true, slices, excepted)
        for name in METRICS
    }


def _compare(
    metric: str,
    rows: tuple[LabelCodes, LabelCodes, LabelCodes, Floats],
    margin: float,
    weighting: Weighting | None,
    inside: Flags,
) -> Comparison:
    truth, live, new = (column[inside] for column in rows[:3])
    weight = rows[3][inside]
    was, now = METRICS[metric](truth, live, weight), METRICS[metric](truth, new, weight)
    scarce = float(len(truth)) if weighting is None else weighting.draws(inside)
    if metric == "macro_f1":
        scarce = min((_outcomes_of(label, rows[0], inside, weighting) for label in np.unique(truth)), default=0.0)
    right = int((truth == live).sum())
    found = compared(len(truth), right, was, now, scarce, inside, margin, weighting)
    lost = int(((truth == live) & (truth != new)).sum())
    if found.verdict is GateVerdict.PASS and int((live != new).sum()) < LEAST and most_of(lost, scarce) >= margin:
        return replace(found, verdict=GateVerdict.TOO_FEW)
    return found


def most_of(events: int, rows: float) -> float:
    """Return the share of rows that so few events leave possible: one-sided, with an error of ERROR, after Poisson.

    Where two versions differ in a few rows only, the normal distribution promises too much: without one such row its
    standard error is 0. (Garwood, Biometrika 1936.)
    """
    from scipy.special import gammaincinv  # takes a while to import

    return float(gammaincinv(events + 1, 1 - ERROR)) / rows


def _outcomes_of(label: int, truth: LabelCodes, inside: Flags, weighting: Weighting | None) -> float:
    of_label = (truth == label) & inside
    return float(of_label.sum()) if weighting is None else min(float(of_label.sum()), weighting.draws(of_label))
