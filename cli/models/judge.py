"""`millrace models gate | compare`: whether a version is worse than the live one, and what would change with it."""

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click
from sqlalchemy import Engine

from cli.database import database
from cli.evaluate.command import TimeOption
from cli.rescoring.command import version_of
from registry import versions
from store import timestamps

if TYPE_CHECKING:
    from cli.rescoring.gate import GateAnswer, GateQuestion

MARGIN = 0.015


excepting = click.option(
    "--except",
    "excepted",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Let it be worse in this slice, such as abuse_type=MSG; repeatable.",
)
"""The option of commands that ask the gate."""


@click.command()
@click.argument("model", metavar="MODEL[@VERSION]")
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True),
    default=MARGIN,
    show_default=True,
    help="How much worse is worse: of the area under the ROC curve, or of accuracy and macro F1.",
)
@click.option("--since", type=TimeOption(), help=f"Only predictions scored from then on, such as {timestamps.EXAMPLE}.")
@click.option("--without", multiple=True, metavar="KIND", help="Leave outcomes of this kind out; repeatable.")
@excepting
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def gate(
    model: str,
    margin: float,
    since: datetime | None,
    without: tuple[str, ...],
    excepted: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compare a version with the live one on the same outcomes: of scores the area under the ROC curve, of labels
    accuracy and macro F1.

    Both score what has an outcome, unless they have. The verdict is kept for a week, for `promote`, unless an option
    changes the question; one with exceptions is for a promotion that names the same. Ends with 1 where the version is
    worse.
    """
    with database("models") as engine:
        version_of(engine, model)
        found = ask(engine, model, margin, since, without, excepted)
    if found is None:
        sys.exit(f"millrace models: {NO_SAY.format(model=model)}")
    if as_json:
        from evaluation.artefact import as_json as plain

        click.echo(json.dumps(plain(found[1])))
    else:
        show(*found)
    sys.exit(found[1].verdict.value == "fail")


NO_SAY = (
    "the gate has no say on {model}: nothing else is live, or the model declares no outcome that its score is the "
    "chance of ([outcomes] with a target in its model.toml) or that its label is a guess of ([outcomes] with kinds)"
)


def ask(
    engine: Engine,
    model: str,
    margin: float = MARGIN,
    since: datetime | None = None,
    without: tuple[str, ...] = (),
    excepted: tuple[str, ...] = (),
) -> "tuple[GateQuestion, GateAnswer] | None":
    """Ask the gate and keep its report; None: it has no say. A version that cannot score here ends the command."""
    # numpy and the model's library take a while to import, and no other command needs them
    from cli.evaluate.groups import UnknownGrouping
    from cli.evaluate.population import NotEvaluable
    from cli.rescoring import gate as gates
    from cli.rescoring.loading import NotLoadable
    from cli.rescoring.scoring import NotComparable
    from serving.contract import ModelAway

    name, _, version = model.partition("@")
    with engine.connect() as connection:
        registry = versions.read(connection)
    try:
        asked = gates.question(registry, name, version or None, margin, since, without, excepted)
        return None if asked is None else (asked, gates.ask(engine, registry, asked))
    except (NotLoadable, NotComparable, NotEvaluable, UnknownGrouping, ModelAway) as error:
        sys.exit(f"millrace models: the gate cannot judge: {error}")


def show(asked: "GateQuestion", found: "GateAnswer") -> None:
    from cli.rescoring import printed

    printed.gate(asked, found)


@click.command()
@click.argument("model", metavar="MODEL[@VERSION]")
@click.option("--top", default="5%", show_default=True, help="The highest scores: a number or a share of the inputs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(model: str, top: str, as_json: bool) -> None:
    """Show what would change if a version scored.

    That is of stored inputs which it and the live one have scored: it those of `millrace rescore`, and as a shadow what
    has come in since.
    """
    from cli.rescoring import comparison, printed
    from cli.rescoring.scoring import NotComparable
    from evaluation.artefact import as_json as plain

    with database("models") as engine:
        registry, version = version_of(engine, model)
        live = registry.live.get(version.model)
        if live is None or live is version:
            raise click.UsageError(f"no other version of {version.model} is live than {version.version}")
        try:
            with engine.connect() as connection:
                found = comparison.compare(connection, live, version, top)
        except (NotComparable, ValueError) as error:
            sys.exit(f"millrace models: {error}")
    if as_json:
        said = {"live": found.live, "new": found.new, "failed": found.failed, "bands": plain(found.bands)}
        ranks = plain(found.ranks)
        for one in ranks["disagreements"]:
            one["task_id"], one["position"] = str(found.place(one["row"])[0]), found.place(one["row"])[1]
        click.echo(json.dumps(said | ranks))
    else:
        printed.comparison(found)
