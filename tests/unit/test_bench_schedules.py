"""Schedules have the shape that was asked for, and a file of one is the same load again."""

from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from bench import schedule, shapes
from bench.kinds import KINDS, body
from bench.schedule import Arrival, WrongSchedule
from bench.shapes import RateOverTime, SchedulePart

ONE = [SchedulePart("submit")]


def counts(made: schedule.Schedule, edges: list[float]) -> list[int]:
    return [int(n) for n in np.histogram([arrival.at for arrival in made.arrivals], edges)[0]]


def test_a_constant_rate_is_evenly_spaced() -> None:
    made = shapes.make(RateOverTime("constant", 10, 0, 3, 0), ONE, seed=1)
    assert [arrival.at for arrival in made.arrivals] == pytest.approx([0.05 + number / 10 for number in range(30)])


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (RateOverTime("ramp", 0, 100, 10, 0), [125, 375]),
        (RateOverTime("step", 10, 30, 9, 3), [30 + 20 * 1.5, 20 * 1.5 + 90]),
        (RateOverTime("burst", 0, 100, 10, 1), [125, 125]),
        (RateOverTime("sine", 0, 100, 10, 10), [250, 250]),
    ],
    ids=lambda value: value.shape if isinstance(value, RateOverTime) else "",
)
def test_each_half_of_a_shape_has_as_many_requests_as_the_integral_of_its_rate(
    rate: RateOverTime, expected: list[float]
) -> None:
    made = shapes.make(rate, ONE, seed=1)
    assert counts(made, [0, rate.seconds / 2, rate.seconds]) == pytest.approx(expected, abs=2)


def test_a_burst_is_densest_in_the_middle_and_a_sine_at_half_its_period() -> None:
    for shape in ("burst", "sine"):
        first, middle, last = counts(
            shapes.make(RateOverTime(shape, 5, 100, 9, 9 if shape == "sine" else 1), ONE, seed=1), [0, 3, 6, 9]
        )
        assert middle > 2 * max(first, last)


def test_poisson_arrivals_vary_as_such_arrivals_do() -> None:
    made = shapes.make(RateOverTime("constant", 100, 0, 100, 0), ONE, seed=1, poisson=True)
    gaps = np.diff([arrival.at for arrival in made.arrivals])
    assert len(gaps) == pytest.approx(10_000, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05), "of an exponential distribution both are the same"


def test_the_same_seed_gives_the_same_schedule_and_another_another() -> None:
    rate, parts = RateOverTime("ramp", 5, 50, 10, 0), [SchedulePart("submit", 1, 3), SchedulePart("predict", 1, 1)]
    first, again, other = (shapes.make(rate, parts, seed=seed, poisson=True) for seed in (1, 1, 2))
    assert first == again
    assert first.arrivals != other.arrivals


def test_a_mixture_keeps_its_weights() -> None:
    parts = [SchedulePart("submit", 1, 6), SchedulePart("submit", 100, 3), SchedulePart("predict", 1, 1)]
    made = shapes.make(RateOverTime("constant", 1000, 0, 10, 0), parts, seed=1)
    shares = Counter((arrival.kind, arrival.size) for arrival in made.arrivals)
    assert [shares[part.kind, part.size] / 10_000 for part in parts] == pytest.approx([0.6, 0.3, 0.1], abs=0.02)
    assert made.inputs == sum(arrival.size for arrival in made.arrivals)


def test_a_saved_schedule_is_the_same_load_again(tmp_path: Path) -> None:
    made = shapes.make(
        RateOverTime("sine", 5, 50, 10, 5), [SchedulePart("submit", 7), SchedulePart("predict")], seed=3, poisson=True
    )
    schedule.save(made, tmp_path / "it.jsonl")
    read = schedule.load(tmp_path / "it.jsonl")
    assert [(a.kind, a.size) for a in read.arrivals] == [(a.kind, a.size) for a in made.arrivals]
    assert [a.at for a in read.arrivals] == pytest.approx([a.at for a in made.arrivals], abs=1e-6)
    assert (read.title, read.seconds, read.made) == (made.title, made.seconds, dict(made.made))


def test_recorded_arrivals_are_replayed_with_their_gaps_kinds_and_sizes(tmp_path: Path) -> None:
    recorded = tmp_path / "recorded.csv"
    recorded.write_text(
        "at,kind,size\n2026-01-31T09:00:04Z,,\n2026-01-31T09:00:00Z,predict,\n2026-01-31T09:00:01.5Z,submit,9\n"
    )
    made = shapes.replay(recorded, [SchedulePart("submit", 3)], seed=1, speed=2)
    assert made.arrivals == (Arrival(0, "predict", 3), Arrival(0.75, "submit", 9), Arrival(2, "submit", 3))


@pytest.mark.parametrize(
    "text", ["", "at,kind\n", "time\n1\n", "at\nyesterday\n"], ids=["empty", "no rows", "no at", "no time"]
)
def test_a_recording_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "it.csv").write_text(text)
    with pytest.raises(WrongSchedule):
        shapes.replay(tmp_path / "it.csv", ONE, seed=1)


HEAD = '{"format": "millrace-schedule-1", "title": "t", "seconds": 1, "made": {}}\n'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}\n",
        "[0]\n",
        HEAD + '[1, "submit"]\n',
        HEAD + '[1, "submit", 0]\n',
        HEAD + '[2,"submit",1]\n[1,"submit",1]\n',
    ],
)
def test_a_file_that_is_no_schedule_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "it.jsonl").write_text(text)
    with pytest.raises(WrongSchedule):
        schedule.load(tmp_path / "it.jsonl")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_makes_a_body_of_the_size_and_another_the_next_time(kind: str) -> None:
    rng = Random(1)  # noqa: S311  a load, no secret
    assert body(kind, 2, rng) != body(kind, 2, rng)
