"""`millrace explain`: stores what predictions are made of."""

import sys
from datetime import datetime

import click
from sqlalchemy import Connection

from cli.database import database
from cli.evaluate.command import TimeOption
from cli.rescoring.command import version_of
from serving.contract import Spec
from store import explanations, timestamps
from store.explanations import Wanted
from store.version_scores import EVERY


@click.command()
@click.argument("model", metavar="MODEL[@VERSION]")
@click.option("--top", metavar="N", help="Only the highest scores: a number of predictions, or a share such as 5%.")
@click.option("--where", default=EVERY, metavar="SQL", help="Only predictions that fit: a condition on their columns.")
@click.option("--since", type=TimeOption(), help=f"Only predictions scored from then on, such as {timestamps.EXAMPLE}.")
def explain(model: str, top: str | None, where: str, since: datetime | None) -> None:
    """Compute how much each input column has added to the scores of MODEL, by default of its live version.

    `GET /task/<id>?explain=true`, the console and the table `explanations` show them. The values are exact Shapley
    values of the trees of XGBoost or LightGBM. What is explained already is left alone.
    """
    # numpy and the model's library take a while to import, and no other command needs them
    from cli.rescoring import explaining, loading
    from cli.rescoring.scoring import NotComparable, kept_in_sql
    from serving.contract import ModelAway

    escaped = where.replace(":", r"\:")  # a colon names no parameter here
    condition = f"({escaped}) AND p.scored_at >= coalesce(CAST(:since AS timestamptz), '-infinity')"
    with database("explain") as engine:
        registry, version = version_of(engine, model)
        if "@" not in model:
            version = registry.live.get(model, version)
        spec, values = version.spec, {"since": since}
        wanted = Wanted(spec.table, version.version, f"{condition} AND {kept_in_sql(spec)}", values)
        with engine.connect() as connection:
            total = explanations.count(connection, wanted)
            if top is not None:
                wanted, total = _ranked(connection, wanted, spec, top, total)
            try:
                loaded = loading.load(connection, version)
            except loading.NotLoadable as error:
                sys.exit(f"millrace explain: {error}")
        done = 0
        try:
            with click.progressbar(length=total, label="Explaining", file=sys.stderr, show_pos=True) as bar:
                for batch in explaining.explain(engine, loaded, wanted):
                    done += batch
                    bar.update(batch)
        except (NotComparable, ModelAway) as error:
            sys.exit(f"millrace explain: {error}")
    click.echo(f"{spec.name}@{version.version}: {done:,} predictions explained")


def _ranked(connection: Connection, wanted: Wanted, spec: Spec, top: str, total: int) -> tuple[Wanted, int]:
    """Return what remains of so many predictions: the highest scores, and those that equal the lowest of them."""
    from cli.evaluate import figures

    if spec.score is None:
        raise click.UsageError(f"--top: {spec.name} has no output between 0 and 1 to rank by")
    try:
        most = figures.top(top, total)
    except ValueError as error:
        raise click.UsageError(f"--top: {error}") from None
    if not most:
        return wanted, 0
    lowest = explanations.lowest_of_top(connection, wanted, spec.score, most)
    ranked = f'{wanted.condition} AND p."{spec.score}" >= :lowest'
    return wanted._replace(condition=ranked, values={**wanted.values, "lowest": lowest}), most
