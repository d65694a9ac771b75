"""The commands of `millrace bench`. (`millrace bench --help` lists them.)"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench import executor, outcome, schedule, shapes
from bench.comparison import compare as lines_of
from bench.connection import Target, WrongUrl
from bench.executor import Run
from bench.kinds import KINDS, UnknownKind, kind
from bench.page import page
from bench.processes import Watch
from bench.result import NAMES, result
from bench.site import millrace, servers
from bench.yardstick_commands import peers, yardstick

PARTS = "KIND[:INPUTS][=WEIGHT], again for a mixture; kinds: " + ", ".join(KINDS)
Options = Callable[[Callable[..., None]], Callable[..., None]]


class PartType(click.ParamType[shapes.Part]):
    name = "KIND[:INPUTS][=WEIGHT]"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> shapes.Part:
        name, _, rest = str(value).partition(":")
        name, _, weight = name.partition("=") if "=" in name else (name, "", "")
        size, _, heavier = rest.partition("=")
        try:
            kind(name)
            return shapes.Part(name, int(size or 1), float(weight or heavier or 1))
        except (UnknownKind, ValueError) as error:
            self.fail(f"{value!r}: {error}")


class PidType(click.ParamType[tuple[str, int]]):
    name = "NAME=PID"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[str, int]:
        name, _, pid = str(value).partition("=")
        if not (name and pid.isdigit()):
            self.fail(f"{value!r} is not like worker=1234")
        return name, int(pid)


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
MIX = click.option("--mix", "parts", type=PartType(), multiple=True, default=["submit"], help=PARTS)
SEED = click.option("--seed", default=1, show_default=True)
OUT = click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="file to write")


@click.group()
def bench() -> None:
    """Put a load on a platform, and see how it bears it."""


@bench.command("schedule")
@click.argument("shape", type=click.Choice([*shapes.SHAPES, "poisson"]))
@click.option("--rate", "base", type=float, required=True, help="requests/s; of a shape that changes: where it begins")
@click.option(
    "--peak", type=float, default=0.0, help="requests/s at the end of a ramp or step, the top of a burst or sine"
)
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
    peak: float,
    seconds: float,
    period: float | None,
    poisson: bool,
    title: str,
    parts: tuple[shapes.Part, ...],
    seed: int,
    out: Path,
) -> None:
    """Make a schedule: SHAPE is how the rate changes with time."""
    if shape == "poisson":
        shape, poisson = "constant", True
    rate = shapes.Rate(shape, base, peak, seconds, period or seconds / 5)
    _save(shapes.make(rate, parts, seed=seed, poisson=poisson, title=title), out)


@bench.command()
@click.argument("file", type=FILE)
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), default=1.0, help="2: twice as fast as it was")
@MIX
@SEED
@OUT
def replay(file: Path, speed: float, parts: tuple[shapes.Part, ...], seed: int, out: Path) -> None:
    """Make a schedule of arrivals that were recorded: a CSV FILE with a column `at`, maybe `kind` and `size`."""
    with _told():
        _save(shapes.replay(file, parts, seed=seed, speed=speed), out)


def _save(made: schedule.Schedule, out: Path) -> None:
    schedule.save(made, out)
    click.echo(f"{out}: {made.title}: {len(made.arrivals):,} requests, {made.inputs:,} inputs in {made.seconds:g} s")


def on_a_platform(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where the load goes."""
    options: list[Options] = [
        click.option("--url", default="http://127.0.0.1:8081", show_default=True, help="of the platform"),
        click.option("--start", is_flag=True, help="start a platform for this run, on servers of its own"),
        click.option("--key", envvar="MILLRACE_KEY", help="API key, where one is needed (or MILLRACE_KEY)"),
        click.option("--timeout", default=30.0, show_default=True, help="seconds that a request may take"),
        click.option("--settle", default=30.0, show_default=True, help="seconds to wait for what is left to score"),
        click.option("--pid", "pids", type=PidType(), multiple=True, help="a program to watch, on this machine"),
        click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="folder: run.json, run.html"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@bench.command("run")
@click.argument("file", metavar="SCHEDULE", type=FILE)
@click.option("--connections", default=256, show_default=True, help="at most")
@on_a_platform
def run_schedule(file: Path, connections: int, timeout: float, **where: Any) -> None:
    """Play a SCHEDULE (open loop: requests go out when they are due) and write the report."""
    with _told():
        made = schedule.load(file)
        _put_load(
            lambda target: executor.play(made, target, connections=connections, timeout=timeout), made.made, **where
        )


@bench.command()
@click.option("--kind", "part", type=PartType(), default="submit", help="KIND[:INPUTS]")
@click.option("--connections", default=32, show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--requests", type=int, help="stop after so many")
@on_a_platform
def saturate(
    part: shapes.Part, connections: int, seconds: float, requests: int | None, timeout: float, **where: Any
) -> None:
    """Keep connections busy with one kind of request (closed loop) and write the report."""

    def load(target: Target) -> Run:
        size = part.size
        return executor.saturate(
            target, part.kind, size, connections=connections, seconds=seconds, requests=requests, timeout=timeout
        )

    with _told():
        _put_load(load, {}, **where)


def _put_load(
    load: Callable[[Target], Run],
    made: Mapping[str, Any],
    *,
    url: str,
    start: bool,
    key: str | None,
    settle: float,
    pids: tuple[tuple[str, int], ...],
    out: Path,
) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    if start:
        with servers() as own, millrace(own, "bench") as site:
            measured = _measure(load, site.target, settle, site.pids, made)
    else:
        measured = _measure(load, Target.of(url, headers), settle, dict(pids), made)
    out.mkdir(parents=True, exist_ok=True)
    (out / "run.json").write_text(json.dumps(measured), encoding="utf-8")
    (out / "run.html").write_text(page(measured), encoding="utf-8")
    _print(measured)
    click.echo(f"{out}/run.html, {out}/run.json")


def _measure(
    load: Callable[[Target], Run], target: Target, settle: float, pids: Mapping[str, int], made: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        marker = outcome.newest(target)
    except outcome.Unreadable as error:
        click.echo(f"No figures about tasks: {error}", err=True)
        with Watch(pids) as watch:
            run = load(target)
        return result(run, None, watch.usage, made)
    with Watch(pids) as watch:
        run = load(target)
        tasks = outcome.since(target, marker, settle)
    return result(run, tasks, watch.usage, made)


@bench.command()
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
def compare(a: Path, b: Path) -> None:
    """Put the figures of two runs (A and B: run.json) side by side."""
    table = Table("", "A", "B", "B / A", box=None)
    for line in lines_of(*(json.loads(file.read_text(encoding="utf-8")) for file in (a, b))):
        ratio = f"{line.ratio:.2f}" if line.ratio is not None else ""
        table.add_row(line.what, f"{line.a:,.6g}", f"{line.b:,.6g}", ratio)
    for column in table.columns[1:]:
        column.justify = "right"
    Console(highlight=False).print(table)


def _print(measured: Mapping[str, Any]) -> None:
    counts, throughput = measured["counts"], measured["throughput"]
    click.echo(
        f"{measured['title']}\n{counts['requests']:,} requests: {counts['accepted']:,} accepted, "
        f"{counts['refused']:,} refused, {counts['failed']:,} failed; {throughput['accepted_per_s']:,.0f} accepted/s, "
        f"{throughput['inputs_scored_per_s'] or 0:,.0f} inputs scored/s"
    )
    table = Table("ms", *NAMES, box=None)
    for name, figures in measured["latency_ms"].items():
        table.add_row(name.replace("_", " "), *(f"{figures[point]:,.1f}" for point in NAMES))
    for column in table.columns[1:]:
        column.justify = "right"
    Console(highlight=False).print(table)
    for note in measured["generator"]["notes"]:
        click.echo(note, err=True)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what is in the way into one line."""
    try:
        yield
    except (schedule.WrongSchedule, WrongUrl, UnknownKind) as error:
        sys.exit(f"millrace bench: {error}")


bench.add_command(yardstick)
bench.add_command(peers)
