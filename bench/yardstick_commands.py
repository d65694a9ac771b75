"""`millrace bench yardstick` (`make bench`) and `millrace bench peers` (`make bench-peers`)."""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
import psutil  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

from bench import site
from bench.bento import start as bento
from bench.programs import NotReady
from bench.site import Servers
from bench.yardstick import MEASURES, Plan, Ratio, StartSite, in_turn, ratios

PLAIN, MILLRACE, BENTO = "plain design", "millrace", "BentoML tasks"
ROUNDS = click.option("--rounds", default=3, show_default=True, help="how often each is measured; the rounds alternate")
OUT = click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file to write")


@click.command()
@ROUNDS
@OUT
def yardstick(rounds: int, out: Path | None) -> None:
    """Measure the plain design and Millrace in turn, and print how many times better Millrace is."""
    with site.servers() as servers:
        _measure(PLAIN, lambda name: site.plain(servers, name), servers, rounds, out)


@click.command()
@ROUNDS
@OUT
def peers(rounds: int, out: Path | None) -> None:
    """Do the same against BentoML tasks, installed into an environment of its own."""
    programs = bento.environment()
    click.echo(f"BentoML {bento.version(programs)}")
    with site.servers() as servers:
        _measure(BENTO, lambda name: bento.running(servers, programs), servers, rounds, out)


def _measure(other: str, start: StartSite, servers: Servers, rounds: int, out: Path | None) -> None:
    begin = time.monotonic()
    designs: Sequence[tuple[str, StartSite]] = [(other, start), (MILLRACE, lambda name: site.millrace(servers, name))]
    busy = psutil.cpu_percent(interval=1.0)
    try:
        measured = in_turn(designs, Plan(rounds=rounds), lambda line: click.echo(line, err=True))
    except NotReady as error:
        sys.exit(f"millrace bench: {error}")
    found = ratios(measured[other], measured[MILLRACE])
    _print(other, found)
    took = time.monotonic() - begin
    cores = os.cpu_count()
    click.echo(
        f"Medians of {rounds} alternating rounds on {cores} cores, generator and servers included; {took:.0f} s."
    )
    click.echo(f"Before the first round, other programs kept {busy:.0f} % of the machine busy.")
    if out is not None:
        out.write_text(json.dumps({"rounds": measured, "seconds": took, "busy_percent_before": busy}, indent=1))


def _print(other: str, found: dict[str, Ratio]) -> None:
    table = Table("", other, MILLRACE, "times better", "worst … best round", box=None)
    if other == PLAIN:
        table.add_column("target")
    for name, ratio in found.items():
        unit = MEASURES[name].unit
        table.add_row(
            ratio.measure.what,
            _told(ratio.yardstick, unit),
            _told(ratio.ours, unit),
            _times(ratio.middle),
            f"{_times(ratio.lowest)} … {_times(ratio.highest)}",
            *([ratio.measure.target] if other == PLAIN else []),
        )
    for column in table.columns[1:]:
        column.justify = "right"
    console = Console(highlight=False)
    console.width = max(console.width, 130)
    console.print(table)


def _told(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if unit == "/s" else f"{value:,.1f} {unit}"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2g}"
