"""Figures as people read them: a line a figure, naive beside weighted."""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from typing import Any

from cli.evaluate.figures import GroupEvaluation, too_few
from evaluation.linear import Figure

COLUMNS = ["by", "group", "predictions", "outcomes", "expected", "figure", "naive", "weighted"]

TOO_FEW = "too few"


def lines(found: GroupEvaluation) -> Iterator[Sequence[Any]]:
    """Yield rows of COLUMNS; a group without outcomes has one."""
    grown = found.maturity
    expected = f"{grown.expected.value:,.0f}{'' if grown.mature else ', immature'}"
    head: Sequence[Any] = (found.by, found.group, grown.predictions, grown.outcomes, expected)
    figures: Mapping[str, Figure | None] = found.naive or {"no outcomes": None}
    for name, naive in figures.items():
        weighted = None if found.weighted is None else found.weighted.get(name)
        yield (*head, name, said(naive), said(weighted))
        head = ("", "", "", "", "")


def said(figure: Figure | None) -> str:
    if figure is None:
        return "\N{EN DASH}"
    if isnan(figure.value):
        return TOO_FEW
    if too_few(figure):
        return f"{figure.value:.3f} ({TOO_FEW})"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
