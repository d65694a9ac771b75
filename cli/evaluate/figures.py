"""The figures of each group: of the decided rows as they are, and weighted to stand for all of its predictions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, isnan, nan

import numpy as np

from cli.evaluate.groups import ALL, Grouping
from cli.evaluate.population import EvaluationAsked, Population
from evaluation import weighting
from evaluation.binary import BinaryEvaluation, evaluate_binary
from evaluation.draws import Propensity
from evaluation.labels import LabelEvaluation, evaluate_labels
from evaluation.linear import Figure, Flags
from evaluation.maturity import DelayCurve, Maturity, delay_curve, maturity
from evaluation.threshold import threshold_of_top
from evaluation.weighting import LEAST, weigh

DAY = 86_400.0

GUESS = "guess"
"""The column of the guessed label."""

AnyEvaluation = BinaryEvaluation | LabelEvaluation


@dataclass(frozen=True)
class GroupEvaluation:
    """The figures of one group. A figure without an interval rests on too few outcomes to say anything."""

    by: str
    group: str
    outcomes: dict[str, int]
    """Decided predictions by kind."""
    maturity: Maturity
    """With the numbers of predictions and of outcomes."""
    reviewed: int
    """Outcomes that the weighted figures rest on: those whose propensity is known."""
    naive: dict[str, Figure]
    weighted: dict[str, Figure] | None
    """None: no prediction of the group was drawn for review, so nothing is known of what has no outcome."""
    labels: list[str] = field(default_factory=list)
    confusion: list[list[float]] = field(default_factory=list)
    """A row for each true label, a column for each guess; weighted where there are weights."""


@dataclass(frozen=True)
class Evaluated:
    """A group's figures, and the evaluations that pictures are drawn from: naive and weighted."""

    summary: GroupEvaluation
    details: dict[str, AnyEvaluation]


def top(word: str, predictions: int) -> int:
    """Return how many predictions a top is: a number, or a share such as 5% rounded up. Raises ValueError."""
    share = word.endswith("%")
    try:
        number = float(word.removesuffix("%"))
    except ValueError:
        number = 0.0
    if not number > 0 or (share and number > 100) or (not share and not number.is_integer()):
        raise ValueError(f"{word!r} is no number of predictions and no share of them such as 5%")
    return min(predictions, ceil(predictions * number / 100) if share else int(number))


def evaluate(
    population: Population, asked: EvaluationAsked, groupings: Sequence[Grouping], tops: Sequence[str]
) -> Iterator[Evaluated]:
    """Yield the figures of all predictions, and of each group of each grouping."""
    curve = delay_curve(_delays(population), population.decided)
    yield _evaluate(population, asked, ALL, ALL, population.within, tops, curve)
    for grouping in groupings:
        for name, rows in grouping.groups(population.columns[grouping.name]):
            if (inside := rows & population.within).any():
                yield _evaluate(population, asked, grouping.name, name, inside, tops, curve)


def _delays(population: Population) -> np.typing.NDArray[np.float64]:
    """Return days from each prediction to its outcome, or to now; an outcome that came first took none."""
    until = np.where(population.decided, population.received_at, population.now)
    delays: np.typing.NDArray[np.float64] = np.maximum(until - population.scored_at, 0.0) / DAY
    return delays


def _evaluate(
    population: Population,
    asked: EvaluationAsked,
    by: str,
    group: str,
    inside: Flags,
    tops: Sequence[str],
    curve: DelayCurve,
) -> Evaluated:
    decided = population.decided[inside]
    age = np.maximum(population.now - population.scored_at[inside], 0.0) / DAY
    compute = _labels if asked.labels else _binary
    naive, weighted, reviewed = compute(population, inside, tops)
    details: dict[str, AnyEvaluation] = {} if naive is None else {"naive": naive}
    if weighted is not None:
        details["weighted"] = weighted
    last = weighted or naive
    kinds, counts = np.unique(population.outcome[inside][decided].astype(str), return_counts=True)
    summary = GroupEvaluation(
        by,
        group,
        dict(zip(kinds.tolist(), counts.tolist(), strict=True)),
        maturity(curve, age, decided),
        reviewed,
        _figures(naive),
        None if weighted is None else _figures(weighted),
        last.labels if isinstance(last, LabelEvaluation) else [],
        last.confusion if isinstance(last, LabelEvaluation) else [],
    )
    return Evaluated(summary, details)


def _weighting(population: Population, inside: Flags) -> weighting.Weighting | None:
    if population.propensities is None or not population.drawn[inside].any():
        return None
    found = population.propensities
    return weigh(Propensity(found.chance[inside], found.certain[inside]), population.represents[inside])


def _binary(
    population: Population, inside: Flags, tops: Sequence[str]
) -> tuple[BinaryEvaluation | None, BinaryEvaluation | None, int]:
    score, truth, decided = population.score[inside], population.is_target[inside], population.decided[inside]
    if not decided.any():
        return None, None, 0
    thresholds = {word: threshold_of_top(score, top(word, len(score))) for word in tops}
    naive = evaluate_binary(truth[decided], score[decided], thresholds=thresholds)
    weights = _weighting(population, inside)
    if weights is None or not len(weights.rows):
        return naive, None, 0
    rows = weights.rows
    return naive, evaluate_binary(truth[rows], score[rows], weights, thresholds=thresholds), len(rows)


def _labels(
    population: Population, inside: Flags, tops: Sequence[str]
) -> tuple[LabelEvaluation | None, LabelEvaluation | None, int]:
    decided = population.decided[inside]
    if not decided.any():
        return None, None, 0
    truth, guess = population.outcome[inside], population.columns[GUESS][inside]
    naive = evaluate_labels(truth[decided].tolist(), guess[decided].tolist())
    weights = _weighting(population, inside)
    if weights is None or not len(weights.rows):
        return naive, None, 0
    rows = weights.rows
    weighted = evaluate_labels(truth[rows].tolist(), guess[rows].tolist(), weights.weight)
    return naive, weighted, len(rows)


def _figures(found: AnyEvaluation | None) -> dict[str, Figure]:
    if found is None:
        return {}
    if isinstance(found, LabelEvaluation):
        figures: Mapping[str, Figure] = {"accuracy": found.accuracy, "macro_f1": found.macro_f1}
        scarce = found.rows < LEAST
    else:
        figures = found.figures
        scarce = min(found.positives, found.rows - found.positives) < LEAST
    return {name: Figure(one.value, nan, nan) if scarce else one for name, one in figures.items()}


def too_few(figure: Figure) -> bool:
    """Return whether the figure says nothing."""
    return isnan(figure.low) or isnan(figure.high)
