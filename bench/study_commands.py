"""The commands of the studies, growth and the like: each on platforms and servers of its own."""

import os
from collections.abc import Iterable
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from bench import consoles as console_study
from bench import files as file_study
from bench import outcome_reports as outcome_study
from bench import pages as page_study
from bench import promotions as promotion_study
from bench import rescoring as rescoring_study
from bench import retention as retention_study
from bench import starting, studies
from bench import tables as table_study
from bench.site import servers


def _counts(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    try:
        return [int(count) for count in value.split(",")]
    except ValueError:
        raise click.BadParameter("give numbers with commas between them: 1,2,4") from None


@click.command()
@click.option("--workers", callback=_counts, default="1,2,4", show_default=True, help="worker processes")
@click.option("--handlers", callback=_counts, default="1,2", show_default=True, help="handler processes")
@click.option("--rounds", default=3, show_default=True)
def growth(workers: list[int], handlers: list[int], rounds: int) -> None:
    """Measure how the speed grows with processes and with the inputs of a submission."""
    with servers() as own:
        _print(studies.growth(own, workers, handlers, rounds, _tell))


@click.command()
@click.option("--predictions", default=10_000_000, show_default=True, help="stored beforehand")
@click.option("--rounds", default=3, show_default=True)
def aged(predictions: int, rounds: int) -> None:
    """Compare an empty database with one that years of use have filled, alternately."""
    with servers() as own:
        _print(studies.aged(own, predictions, rounds, _tell))


@click.command()
@click.option("--times", default=3.0, show_default=True, help="of what it can score")
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--backlog-seconds", default=3.0, show_default=True, help="what may wait, as seconds of scoring")
def overload(times: float, seconds: float, backlog_seconds: float) -> None:
    """Offer more than can be scored: what is accepted, refused, lost, and how soon it is over."""
    with servers() as own:
        figures = asdict(studies.overload(own, times, seconds, backlog_seconds, _tell))
        _print({"": name.replace("_", " "), "figure": f"{value:,.4g}"} for name, value in figures.items())


@click.command()
@click.option("--batch", default=10_000, show_default=True, help="inputs of each")
@click.option("--batches", default=8.0, show_default=True, help="a second")
def overtaking(batch: int, batches: float) -> None:
    """Measure single reports at high priority while batches wait at a lower one."""
    with servers() as own:
        _print(studies.overtaking(own, batch, batches))


@click.command()
def memory() -> None:
    """Measure how much memory handler and worker (report scorer only) take under load."""
    with servers() as own:
        _print(studies.memory(own))


@click.command()
@click.option("--times", default=5, show_default=True)
def start(times: int) -> None:
    """Measure how long a worker (report scorer only) takes from the start of its program to its first score."""
    with servers() as own:
        _print(starting.start(own, times))


@click.command()
@click.option("--rate", default=500.0, show_default=True, help="single reports a second")
@click.option("--rounds", default=7, show_default=True)
def promotions(rate: float, rounds: int) -> None:
    """Promote a version and roll it back while reports arrive: how soon, how slow, and what is lost or mixed."""
    with servers() as own:
        _print(promotion_study.promotions(own, rate, rounds, _tell))


@click.command()
@click.option("--rounds", default=7, show_default=True)
@click.option("--seconds", default=6.0, show_default=True, help="of each measure")
def shadow(rounds: int, seconds: float) -> None:
    """Let a second version score every input beside the live one: what is scored and accepted, with it and without."""
    with servers() as own:
        _print(rescoring_study.shadow(own, rounds, seconds, _tell))


@click.command()
@click.option("--predictions", default=3_000_000, show_default=True, help="stored beforehand")
@click.option("--rounds", default=7, show_default=True)
@click.option("--seconds", default=6.0, show_default=True, help="of each measure")
def rescoring(predictions: int, rounds: int, seconds: float) -> None:
    """Score stored inputs with a second version beside live ones, and compare as `shadow` does."""
    with servers() as own:
        _print(rescoring_study.rescoring(own, predictions, rounds, seconds, _tell))


@click.command()
@click.option("--predictions", default=5_000_000, show_default=True, help="stored beforehand, over a year")
def tables(predictions: int) -> None:
    """Compare a plain table of predictions with one of a partition a month, and what it costs to forget half of it."""
    with servers() as own:
        _print(table_study.tables(own, predictions, _tell))


@click.command()
@click.option("--predictions", default=2_000_000, show_default=True, help="stored beforehand, all old enough")
def retention(predictions: int) -> None:
    """Delete old predictions while others are claimed and stored: how fast, and what that costs the others."""
    with servers() as own:
        _print(retention_study.retention(own, predictions, _tell))


@click.command()
@click.option("--rows", callback=_counts, default="1000000,10000000", show_default=True, help="of the files")
@click.option("--compared", default=500_000, show_default=True, help="rows of the file that the loop scores as well")
@click.option("--rounds", default=3, show_default=True)
def files(rows: list[int], compared: int, rounds: int) -> None:
    """Score whole files by `millrace submit`: rows a second, beside a loop written by hand, and its memory."""
    with servers() as own:
        _print(file_study.files(own, rows, compared, rounds, _tell))


@click.command()
@click.option("--predictions", default=1_000_000, show_default=True, help="stored beforehand, each with a key")
@click.option("--rows", default=1_000_000, show_default=True, help="of the file of outcomes")
def outcomes(predictions: int, rows: int) -> None:
    """Report outcomes, by requests and by a file, and lease predictions: how long, and in how much memory."""
    with servers() as own:
        _print(outcome_study.outcomes(own, predictions, rows, _tell))


@click.command()
@click.option("--count", default=10, show_default=True, help="of consoles")
@click.option("--rate", default=300.0, show_default=True, help="single reports a second, for the latency")
@click.option("--rounds", default=8, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="of each load")
def consoles(count: int, rate: float, rounds: int, seconds: float) -> None:
    """Compare the path with consoles open and without, alternately: what it scores, and how fast it accepts."""
    with servers() as own:
        _print(console_study.consoles(own, count, rate, rounds, seconds, _tell))


@click.command()
@click.option("--predictions", default=50_000_000, show_default=True, help="stored beforehand")
@click.option("--tasks", default=10_000_000, show_default=True, help="whose predictions these are")
@click.option("--times", default=20, show_default=True, help="that each page is asked for")
def pages(predictions: int, tasks: int, times: int) -> None:
    """Measure the handler's time for each page of the console, with very much stored (50 million: 20 GB)."""
    with servers() as own:
        _print(page_study.pages(own, predictions, tasks, times, _tell))


def _print(rows: Iterable[studies.StudyRow]) -> None:
    table: Table | None = None
    for row in rows:
        if table is None:
            table = Table(*row, box=None)
            for column in table.columns[1:]:
                column.justify = "right"
        shown = (row.get(str(column.header), "") for column in table.columns)
        table.add_row(*(f"{value:,}" if isinstance(value, int | float) else value for value in shown))
    if table is not None:
        console = Console(highlight=False)
        console.width = max(console.width, 110)
        console.print(table)
    click.echo(f"{os.cpu_count()} cores, generator and servers included.")


def _tell(line: str) -> None:
    click.echo(line, err=True)
