"""Comparisons of versions as people read them."""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from cli.rescoring.comparison import VersionComparison
from cli.rescoring.gate import GateAnswer, GateQuestion
from cli.sql import print_table
from evaluation.gate import Comparison

SHOWN = 10
"""Inputs that are printed of those that the versions place far apart, and of those that come or go at the top."""


def bands(found: VersionComparison) -> None:
    """Print how many inputs move between bands of the score."""
    click.secho(
        f"\nInputs by band of the score: a row for each of {found.live}, a column for each of {found.new}\n", bold=True
    )
    rows = zip(found.bands.bands, found.bands.counts, strict=True)
    print_table(["", *found.bands.bands], [[name, *counts] for name, counts in rows])


def comparison(found: VersionComparison) -> None:
    """Print what would change if the new version scored."""
    ranks = found.ranks
    facts: list[list[Any]] = [
        ["inputs that both have scored", ranks.rows],
        ["inputs that only the new one failed on", found.failed],
        ["rank correlation", f"{ranks.rank_correlation:.4f}"],
        [f"new among the {ranks.k:,} highest", len(ranks.entered)],
    ]
    print_table(["", f"{found.live} → {found.new}"], facts)
    bands(found)
    click.secho("\nThe largest disagreements; a rank of 1 is the highest\n", bold=True)
    print_table(["task", "position", "live", "new", "live rank", "new rank"], list(_disagreements(found)))


def _disagreements(found: VersionComparison) -> Iterator[Sequence[Any]]:
    for one in found.ranks.disagreements[:SHOWN]:
        task_id, position = found.place(one.row)
        values = (f"{value:.4f}" for value in (one.live, one.new, one.live_rank, one.new_rank))
        yield str(task_id), position, *values


def gate(asked: GateQuestion, found: GateAnswer) -> None:
    """Print the verdict with what it rests on."""
    named = f"{asked.new.model}@{asked.new.version}"
    colours = {"pass": "green", "fail": "red"}
    said = click.style(found.verdict.value, fg=colours.get(found.verdict.value, "yellow"), bold=True)
    click.echo(f"{named} in the place of {asked.live.version}: {said}")
    for reason in [*found.reasons, *([f"excepted: {', '.join(found.excepted)}"] if found.excepted else [])]:
        click.echo(f"  {reason}")
    for report in [*([found.report] if found.report else []), *found.further]:
        parts = {"all": report.overall, **report.slices}
        counted = "right" if asked.asked.labels else "target"
        columns = ["outcomes of", "outcomes", counted, "live", "new", "difference", "above", "below", "verdict"]
        click.echo(f"\n{report.metric}")
        print_table(columns, [[name, *_figures(part)] for name, part in parts.items()])


def _figures(part: Comparison) -> Sequence[Any]:
    values = (part.live, part.new, part.difference, part.low, part.high)
    return part.rows, part.positives, *(f"{value:.4f}" for value in values), part.verdict.value
