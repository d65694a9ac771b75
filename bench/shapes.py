"""Makes schedules: a rate that changes with time becomes the moments at which requests are due.

The rate is integrated; a request is due whenever the integral has grown by one (even), or by an exponentially
distributed step (Poisson). So each shape can be either, and a seed gives the same moments again.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.schedule import Arrival, Schedule, WrongSchedule

Times = NDArray[np.float64]

GRID = 200_000
"""Points at which a rate is evaluated: half a millisecond for a schedule of 100 s."""


@dataclass(frozen=True)
class SchedulePart:
    """A share of a schedule's requests."""

    kind: str
    size: int = 1
    weight: float = 1.0


@dataclass(frozen=True)
class RateOverTime:
    """Requests per second as a function of time. `base` and `peak` are rates; what they mean depends on the shape."""

    shape: str
    base: float
    peak: float
    seconds: float
    period: float
    """Of the sine; of one step; the burst's standard deviation."""

    def at(self, time: Times) -> Times:
        return np.maximum(SHAPES[self.shape](self, time), 0.0)


def _constant(rate: RateOverTime, time: Times) -> Times:
    return np.full_like(time, rate.base)


def _ramp(rate: RateOverTime, time: Times) -> Times:
    return rate.base + (rate.peak - rate.base) * time / rate.seconds


def _step(rate: RateOverTime, time: Times) -> Times:
    """Rise from base to peak in equal steps, each `period` seconds long."""
    steps = max(int(np.ceil(rate.seconds / rate.period)) - 1, 1)
    return rate.base + (rate.peak - rate.base) * np.minimum(time // rate.period, steps) / steps


def _burst(rate: RateOverTime, time: Times) -> Times:
    """A gaussian bell in the middle: base before and after, peak at its top."""
    return rate.base + (rate.peak - rate.base) * np.exp(-0.5 * ((time - rate.seconds / 2) / rate.period) ** 2)


def _sine(rate: RateOverTime, time: Times) -> Times:
    """Swing between base and peak, from base on."""
    return rate.base + (rate.peak - rate.base) * (1 - np.cos(2 * np.pi * time / rate.period)) / 2


SHAPES: dict[str, Callable[[RateOverTime, Times], Times]] = {
    "constant": _constant,
    "ramp": _ramp,
    "step": _step,
    "burst": _burst,
    "sine": _sine,
}


def make(
    rate: RateOverTime, parts: Sequence[SchedulePart], *, seed: int, poisson: bool = False, title: str = ""
) -> Schedule:
    """Return the schedule of a rate, its requests drawn from `parts` by weight."""
    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {
        "shape": rate.shape,
        "base": rate.base,
        "peak": rate.peak,
        "period": rate.period,
        "arrivals": "poisson" if poisson else "even",
        "mix": [[part.kind, part.size, part.weight] for part in parts],
        "seed": seed,
    }
    times = _moments(rate, rng, poisson)
    return Schedule(title or _title(rate, poisson), rate.seconds, _mixed(times, parts, rng), made)


def replay(file: Path, parts: Sequence[SchedulePart], *, seed: int, speed: float = 1.0) -> Schedule:
    """Return the schedule of recorded arrivals: a CSV file with a column `at`, and maybe `kind` and `size`.

    `at` is in seconds or an RFC 3339 time; the first arrival becomes 0. Raises WrongSchedule.
    """
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    try:
        moments = np.array([_seconds(row["at"]) for row in rows])
        given = [(row.get("kind") or None, int(row.get("size") or 0)) for row in rows]
    except (KeyError, ValueError) as error:
        raise WrongSchedule(f"{file}: needs a column `at` of seconds or RFC 3339 times: {error!r}") from None
    if not rows:
        raise WrongSchedule(f"{file}: holds no arrivals")
    order = np.argsort(moments, kind="stable")
    times = (moments[order] - moments.min()) / speed
    drawn = _mixed(times, parts, np.random.default_rng(seed))
    arrivals = tuple(
        Arrival(arrival.at, given[row][0] or arrival.kind, given[row][1] or arrival.size)
        for arrival, row in zip(drawn, order, strict=True)
    )
    made = {"shape": "replay", "of": file.name, "speed": speed, "seed": seed}
    return Schedule(f"Replay of {file.name}", float(times[-1]), arrivals, made)


def _moments(rate: RateOverTime, rng: np.random.Generator, poisson: bool) -> Times:
    time = np.linspace(0.0, rate.seconds, GRID + 1)
    rates = rate.at(time)
    steps = (rates[1:] + rates[:-1]) / 2 * (rate.seconds / GRID)
    due = np.concatenate([[0.0], np.cumsum(steps)])
    expected = float(due[-1])
    if poisson:
        spread = 10 * np.sqrt(expected) + 10  # ten standard deviations more than are expected
        marks = np.cumsum(rng.exponential(size=int(expected + spread)))
        marks = marks[marks < expected]
    else:
        marks = np.arange(0.5, expected)
    return np.interp(marks, due, time)


def _mixed(times: Times, parts: Sequence[SchedulePart], rng: np.random.Generator) -> tuple[Arrival, ...]:
    weights = np.array([part.weight for part in parts])
    drawn = rng.choice(len(parts), size=len(times), p=weights / weights.sum())
    return tuple(Arrival(float(at), parts[part].kind, parts[part].size) for at, part in zip(times, drawn, strict=True))


def _seconds(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return datetime.fromisoformat(value).timestamp()


def _title(rate: RateOverTime, poisson: bool) -> str:
    span = f"{rate.base:g}" if rate.shape == "constant" else f"{rate.base:g} to {rate.peak:g}"
    return f"{rate.shape.capitalize()}, {span} requests/s{', Poisson' if poisson else ''}"
