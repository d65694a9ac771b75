"""The figures of each group: of the decided rows as they are, and weighted to stand for all of its predictions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, isnan, nan

import numpy as np

from cli.evaluate.coded import CodedColumn
from cli.evaluate.groups import ALL, DAY, Grouping
from cli.evaluate.population import EvaluationAsked, Population
from evaluation import weighting
from evaluation.binary import BinaryEvaluation, evaluate_binary
from evaluation.draws import Propensity
from evaluation.labels import LabelEvaluation, evaluate_labels
from evaluation.linear import Figure, Floats
from evaluation.maturity import DelayCurve, Maturity, delay_curve, grown
from evaluation.threshold import threshold_of_top
from evaluation.weighting import LEAST, weigh

RowNumbers = np.typing.NDArray[np.intp]
"""Of a population, by their numbers."""

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
    within = np.flatnonzero(population.within)
    age = np.maximum(population.now - population.scored_at, 0.0) / DAY
    curve = delay_curve(_delays(population, age)[within], population.decided[within])
    whole = _Whole(population, asked, tops, curve, curve.at(age))
    yield _evaluate(whole, ALL, ALL, within)
    for grouping in groupings:
        for name, rows in grouping.groups(population):
            inside = np.flatnonzero(rows & population.within)
            if len(inside):
                yield _evaluate(whole, grouping.name, name, inside)


@dataclass(frozen=True)
class _Whole:
    """What each group is a part of."""

    population: Population
    asked: EvaluationAsked
    tops: Sequence[str]
    curve: DelayCurve
    so_far: Floats
    """Of each prediction, the share of outcomes that are there at its age."""


def _delays(population: Population, age: Floats) -> Floats:
    """Return days from each prediction to its outcome, or to now; an outcome that came first took none."""
    taken = np.maximum(population.received_at - population.scored_at, 0.0) / DAY
    delays: Floats = np.where(population.decided, taken, age)
    return delays


def _evaluate(whole: _Whole, by: str, group: str, inside: RowNumbers) -> Evaluated:
    population, decided = whole.population, whole.population.decided[inside]
    compute = _labels if whole.asked.labels else _binary
    naive, weighted, reviewed = compute(population, inside, inside[decided], whole.tops)
    details: dict[str, AnyEvaluation] = {} if naive is None else {"naive": naive}
    if weighted is not None:
        details["weighted"] = weighted
    last = weighted or naive
    summary = GroupEvaluation(
        by,
        group,
        population.outcome.counts(inside[decided]),
        grown(whole.curve, whole.so_far[inside], decided),
        reviewed,
        _figures(naive),
        None if weighted is None else _figures(weighted),
        last.labels if isinstance(last, LabelEvaluation) else [],
        last.confusion if isinstance(last, LabelEvaluation) else [],
    )
    return Evaluated(summary, details)


def _weighting(population: Population, inside: RowNumbers) -> weighting.Weighting | None:
    if population.propensities is None or not population.drawn[inside].any():
        return None
    found = population.propensities
    return weigh(Propensity(found.chance[inside], found.certain[inside]), population.represents[inside])


def _binary(
    population: Population, inside: RowNumbers, decided: RowNumbers, tops: Sequence[str]
) -> tuple[BinaryEvaluation | None, BinaryEvaluation | None, int]:
    if not len(decided):
        return None, None, 0
    score = population.score[inside]
    thresholds = {word: threshold_of_top(score, top(word, len(score))) for word in tops}
    naive = evaluate_binary(population.is_target[decided], population.score[decided], thresholds=thresholds)
    weights = _weighting(population, inside)
    if weights is None or not len(weights.rows):
        return naive, None, 0
    rows = inside[weights.rows]
    weighted = evaluate_binary(population.is_target[rows], population.score[rows], weights, thresholds=thresholds)
    return naive, weighted, len(rows)


def _labels(
    population: Population, inside: RowNumbers, decided: RowNumbers, tops: Sequence[str]
) -> tuple[LabelEvaluation | None, LabelEvaluation | None, int]:
    if not len(decided):
        return None, None, 0
    naive = evaluate_labels(*_truth_and_guess(population, decided))
    weights = _weighting(population, inside)
    if weights is None or not len(weights.rows):
        return naive, None, 0
    rows = inside[weights.rows]
    return naive, evaluate_labels(*_truth_and_guess(population, rows), weights.weight), len(rows)


def _truth_and_guess(population: Population, rows: RowNumbers) -> tuple[Sequence[str], Sequence[str]]:
    guess = population.columns[GUESS]
    assert isinstance(guess, CodedColumn)  # noqa: S101 - it is read as a text
    return population.outcome.texts(rows).tolist(), guess.texts(rows).tolist()


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
