"""`millrace bench schedule` and `replay`: make schedules."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bench import schedule, shapes
from bench.connection import WrongUrl
from bench.kinds import KINDS, UnknownKind, kind
from bench.outcome import Unreachable
from bench.programs import NotReady

PARTS = "KIND[:INPUTS][=WEIGHT], again for a mixture; kinds: " + ", ".join(KINDS)


class PartType(click.ParamType[shapes.SchedulePart]):
    name = "KIND[:INPUTS][=WEIGHT]"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> shapes.SchedulePart:
        name, _, rest = str(value).partition(":")
        name, _, weight = name.partition("=") if "=" in name else (name, "", "")
        size, _, heavier = rest.partition("=")
        try:
            kind(name)
            return shapes.SchedulePart(name, int(size or 1), float(weight or heavier or 1))
        except (UnknownKind, ValueError) as error:
            self.fail(f"{value!r}: {error}")


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
MIX = click.option("--mix", "parts", type=PartType(), multiple=True, default=["submit"], help=PARTS)
SEED = click.option("--seed", default=1, show_default=True)
OUT = click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="file to write")


@click.command("schedule")
@click.argument("shape", type=click.Choice([*shapes.SHAPES, "poisson"]))
@click.option("--rate", "base", type=float, required=True, help="requests/s; of a shape that changes: where it begins")
@click.option("--peak", type=float, help="requests/s at the end of a ramp or step, the top of a burst or sine")
@click.option("--seconds", type=float, default=30.0, show_default=True)
@click.option("--period", type=float, help="seconds of a sine, of one step; standard deviation of a burst")
@click.option("--random", "poisson", is_flag=True, help="requests as a Poisson process of that rate, not evenly spaced")
@click.option("--title", default="")
@MIX
@SEED
@OUT
def make_schedule(
    shape: str,
    base: float,
    peak: float | None,
    seconds: float,
    period: float | None,
    poisson: bool,
    title: str,
    parts: tuple[shapes.SchedulePart, ...],
    seed: int,
    out: Path,
) -> None:
    """Make a schedule: SHAPE is how the rate changes with time."""
    if shape == "poisson":
        shape, poisson = "constant", True
    if peak is None and shape != "constant":
        raise click.UsageError(f"a {shape} needs --peak")
    rate = shapes.RateOverTime(shape, base, peak or 0.0, seconds, period or seconds / 5)
    save(shapes.make(rate, parts, seed=seed, poisson=poisson, title=title), out)


@click.command()
@click.argument("file", type=FILE)
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), default=1.0, help="2: twice as fast as it was")
@MIX
@SEED
@OUT
def replay(file: Path, speed: float, parts: tuple[shapes.SchedulePart, ...], seed: int, out: Path) -> None:
    """Make a schedule of arrivals that were recorded: a CSV FILE with a column `at`, maybe `kind` and `size`."""
    with told():
        save(shapes.replay(file, parts, seed=seed, speed=speed), out)


def save(made: schedule.Schedule, out: Path) -> None:
    schedule.save(made, out)
    click.echo(f"{out}: {made.title}: {len(made.arrivals):,} requests, {made.inputs:,} inputs in {made.seconds:g} s")


@contextmanager
def told() -> Iterator[None]:
    """Turn what is in the way into one line."""
    try:
        yield
    except (schedule.WrongSchedule, WrongUrl, UnknownKind, NotReady, Unreachable) as error:
        sys.exit(f"millrace bench: {error}")
