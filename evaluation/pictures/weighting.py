"""Draws estimates of simulated worlds beside their truth: from the reviewed items as they are, and weighted."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.linear import Figure
from evaluation.pictures.canvas import COLOURS, INK, Canvas

NAIVE, WEIGHTED = COLOURS[1], COLOURS[0]


@dataclass(frozen=True)
class WorldFigure:
    """A metric in one simulated world."""

    truth: float
    naive: float
    weighted: Figure

    @property
    def covered(self) -> bool:
        return self.weighted.low <= self.truth <= self.weighted.high


def weighting(metric: str, worlds: Sequence[WorldFigure]) -> str:
    """Return an SVG with a place for each world: its truth, the naive figure, the weighted one with its interval."""
    ends = [value for found in worlds for value in (found.truth, found.naive, found.weighted.low, found.weighted.high)]
    finite = [value for value in ends if value == value]
    low, high = int(min(finite) * 10) / 10, min(1.0, int(max(finite) * 10) / 10 + 0.1)
    covered = sum(found.covered for found in worlds)
    said = f"The weighted interval holds the truth in {covered} of {len(worlds)} worlds; the naive figure is off by "
    off = sum(abs(found.naive - found.truth) for found in worlds) / len(worlds)
    canvas = Canvas(
        f"{metric}, naive and weighted", f"{said}{off:.3f} on average.", (-1, len(worlds)), (low, high), 820
    )
    canvas.ticks([], [low + step / 10 for step in range(round((high - low) * 10) + 1)], ".1f")
    ordered = sorted(worlds, key=lambda found: found.weighted.value)
    for place, found in enumerate(ordered):
        canvas.whisker(place, found.weighted.low, found.weighted.high, WEIGHTED if found.covered else COLOURS[3])
    canvas.dots([(place, found.naive) for place, found in enumerate(ordered)], NAIVE, "naive", 2.5)
    canvas.dots([(place, found.weighted.value) for place, found in enumerate(ordered)], WEIGHTED, "weighted, 95 %", 2.5)
    canvas.dots([(place, found.truth) for place, found in enumerate(ordered)], INK, "truth", 1.8)
    canvas.key("truth not within", COLOURS[3])
    canvas.name_axes(f"{len(worlds)} simulated worlds, in the order of the weighted estimate", metric)
    return canvas.svg()
