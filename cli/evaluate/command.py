"""`millrace evaluate --live`: how good a model is on what it has scored, by the outcomes that were reported."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from sqlalchemy import Engine

from cli.database import database
from cli.sql import print_table
from registry import versions
from registry.outcome_views import rules_of
from store import evaluations, timestamps
from store.timestamps import InvalidTime

if TYPE_CHECKING:
    from cli.evaluate.population import EvaluationAsked


class TimeOption(click.ParamType[datetime]):
    """A time with its offset, as the API takes it."""

    name = "TIME"

    def convert(self, value: str, parameter: click.Parameter | None, context: click.Context | None) -> datetime:
        try:
            return timestamps.parse(value)
        except InvalidTime as wrong:
            self.fail(str(wrong), parameter, context)


@click.command()
@click.option("--live", "model", metavar="MODEL", required=True, help="The model whose stored predictions to evaluate.")
@click.option(
    "--by",
    default="",
    metavar="WORDS",
    help="Also by version, week, client or slice:COLUMN; several with commas between them.",
)
@click.option("--since", type=TimeOption(), help=f"Only predictions scored from then on, such as {timestamps.EXAMPLE}.")
@click.option(
    "--top",
    "tops",
    multiple=True,
    default=("1%", "5%"),
    show_default=True,
    help="Precision, recall and lift of the highest scores: a number or a share of the predictions; repeatable.",
)
@click.option("--without", multiple=True, metavar="KIND", help="Leave outcomes of this kind out; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object a group and line.")
@click.option(
    "--plot", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", help="Write pictures (SVG) there."
)
@click.option(
    "--store/--no-store",
    default=True,
    show_default=True,
    help="Keep the figures for GET /models/MODEL/evaluation. With --since or --without they are not kept.",
)
def evaluate(
    model: str,
    by: str,
    since: datetime | None,
    tops: tuple[str, ...],
    without: tuple[str, ...],
    as_json: bool,
    plot: Path | None,
    store: bool,
) -> None:
    """Print how good a model is on live traffic, by version, week or slice.

    Naive figures are of the predictions that have an outcome. Weighted figures stand for all predictions: they correct
    for the reviewers having seen the highest scores first. An interval holds the truth with 95 % confidence.
    """
    # numpy and Arrow take a while to import, and no other command needs them
    from cli.evaluate import drawn, figures, groups, population, printed, stored
    from evaluation.artefact import as_json as plain

    with database("evaluate") as engine:
        asked = asked_for(engine, model, since, without)
        try:
            asked.require_figures()
            grouped = groups.groupings(asked.spec, [word.strip() for word in by.split(",") if word.strip()])
            for word in tops:
                figures.top(word, 1)
        except (population.NotEvaluable, groups.UnknownGrouping, ValueError) as error:
            raise click.UsageError(str(error)) from None
        columns = {one.name: one.expression for one in grouped if one.expression}
        if asked.labels:
            columns[figures.GUESS] = (f'p."{asked.spec.label}"', "text")
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            read = population.read(connection, asked, columns)
        if not read.within.any():
            sys.exit(f"millrace evaluate: {model} has no predictions{' in that time' if since else ''}")
        found = list(figures.evaluate(read, asked, grouped, tops))
        if store and not since and not without:
            with engine.begin() as connection:
                evaluations.add(connection, [stored.row(model, one) for one in found])
    if as_json:
        for one in found:
            click.echo(json.dumps(plain(one.summary), ensure_ascii=False))
    else:
        print_table(printed.COLUMNS, [line for one in found for line in printed.lines(one.summary)])
    if plot is not None:
        plot.mkdir(parents=True, exist_ok=True)
        count = sum(len(drawn.write(one, plot)) for one in found)
        click.echo(f"{count} pictures in {plot}", err=True)


def asked_for(engine: Engine, model: str, since: datetime | None, without: tuple[str, ...]) -> "EvaluationAsked":
    """Return what to read of a model. Raises UsageError where it declares no outcomes, or not these kinds."""
    from cli.evaluate.population import EvaluationAsked

    with engine.connect() as connection:
        registry = versions.read(connection)
    if model not in registry.models:
        raise click.UsageError(f"there is no model {model!r}; there are: {', '.join(registry.models)}")
    if (found := rules_of(registry, model)) is None:
        raise click.UsageError(f"{model} declares no outcomes; a model does so with [outcomes] in its model.toml")
    spec, rules = found
    if unknown := [kind for kind in without if kind not in rules.kinds]:
        raise click.UsageError(f"{unknown[0]!r} is no outcome of {model}; there are: {', '.join(rules.kinds)}")
    return EvaluationAsked(spec, rules, since, without)
