"""The commands of `millrace bench`. (`millrace bench --help` lists them.)"""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.comparison import compare as lines_of
from bench.engines import engines
from bench.load_commands import run_published, run_schedule, saturate
from bench.schedule_commands import FILE, make_schedule, replay
from bench.study_commands import (
    aged,
    consoles,
    files,
    growth,
    memory,
    outcomes,
    overload,
    overtaking,
    pages,
    promotions,
    rescoring,
    retention,
    shadow,
    start,
    tables,
)
from bench.yardstick_commands import peers, yardstick


@click.group()
def bench() -> None:
    """Put a load on a platform, and see how it bears it."""


@click.command()
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


loads = (make_schedule, replay, run_schedule, saturate, run_published, compare)
studies = (
    yardstick,
    peers,
    engines,
    growth,
    files,
    aged,
    overload,
    overtaking,
    promotions,
    shadow,
    rescoring,
    memory,
    start,
    tables,
    retention,
    outcomes,
    pages,
    consoles,
)
for command in (*loads, *studies):
    bench.add_command(command)
