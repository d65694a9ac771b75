"""Two runs side by side: each figure, and the second as a multiple of the first."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bench.result import NAMES


class Line(NamedTuple):
    what: str
    a: float
    b: float

    @property
    def ratio(self) -> float | None:
        return self.b / self.a if self.a else None


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Line]:
    """Return every figure that both runs have."""
    return [
        Line(what, value, figures[what])
        for figures in [dict(_figures(b))]
        for what, value in _figures(a)
        if what in figures
    ]


def _figures(run: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name in ("requests", "accepted", "refused", "failed", "lost"):
        if run["counts"][name] is not None:
            yield name, run["counts"][name]
    for name, value in run["throughput"].items():
        if value is not None:
            yield name.replace("_", " ").replace(" per s", "/s"), value
    for series, figures in run["latency_ms"].items():
        for point in NAMES:
            yield f"{series.replace('_', ' ')} {point}, ms", figures[point]
    for name, used in run["processes"].items():
        yield f"{name}: CPU seconds", used["cpu_seconds"]
        yield f"{name}: peak MB", used["peak_mb"]
