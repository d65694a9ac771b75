"""Plots made on the server: an SVG without script, with a title, and the same numbers as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log10

from console.sampler import BIN, rate
from handler.submit.backlog import BacklogMoment

WIDTH, HEIGHT = 600, 120
"""In the units of the drawing, which a page scales."""


@dataclass(frozen=True)
class Plot:
    title: str
    unit: str
    values: Sequence[tuple[float, float]]
    """(seconds ago, value), the oldest first."""

    @property
    def top(self) -> float:
        """The number at the upper edge: 1, 2 or 5 times a power of ten."""
        most = max((value for _, value in self.values), default=0.0)
        if most <= 0:
            return 1
        power = 10.0 ** ceil(log10(most))
        return next((step for step in (power / 10, power / 5, power / 2) if step >= most), power)

    @property
    def points(self) -> str:
        """The line, as SVG has it."""
        return " ".join(f"{self._x(ago):.1f},{HEIGHT * (1 - value / self.top):.1f}" for ago, value in self.values)

    @property
    def area(self) -> str:
        """The line, closed along the lower edge."""
        if not self.values:
            return ""
        first, last = self._x(self.values[0][0]), self._x(self.values[-1][0])
        return f"{first:.1f},{HEIGHT} {self.points} {last:.1f},{HEIGHT}"

    @property
    def span(self) -> float:
        """Seconds that the plot covers: at least a minute."""
        return max(60.0, self.values[0][0] if self.values else 0)

    @property
    def rows(self) -> Sequence[tuple[float, float]]:
        """A dozen of the values, the newest first, for the table."""
        step = max(1, len(self.values) // 12)
        return list(reversed(self.values))[::step]

    def _x(self, ago: float) -> float:
        return WIDTH * (1 - ago / self.span)


def throughput(history: Sequence[BacklogMoment]) -> Plot:
    """Plot the inputs scored a second."""
    return Plot("Throughput", "inputs/s", [(history[-1].at - part[-1].at, rate(part)) for part in _bins(history)])


def backlog(history: Sequence[BacklogMoment]) -> Plot:
    """Plot the inputs that wait."""
    return Plot("Backlog", "inputs", [(history[-1].at - part[-1].at, part[-1].waiting) for part in _bins(history)])


def _bins(history: Sequence[BacklogMoment]) -> list[list[BacklogMoment]]:
    """Cut the history into bins that begin with the end of the one before; the newest ends with the newest moment."""
    step = int(BIN)
    ends = range(len(history) - 1, 0, -step)
    return [list(history[max(0, end - step) : end + 1]) for end in reversed(ends)]
