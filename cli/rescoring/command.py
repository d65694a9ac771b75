"""`millrace rescore`: scores stored inputs with another version, beside their predictions."""

import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click
from sqlalchemy import Engine

from cli.database import database
from cli.evaluate.command import TimeOption
from registry import versions
from registry.versions import ModelVersion, Registry
from store import timestamps
from store.version_scores import EVERY

if TYPE_CHECKING:
    from cli.rescoring.scoring import RescoreProgress

INTERVAL = 30.0
"""Seconds between two lines on the progress where there is no terminal."""


@click.command()
@click.argument("model", metavar="MODEL@VERSION")
@click.option("--where", default=EVERY, metavar="SQL", help="Only predictions that fit: a condition on their columns.")
@click.option("--since", type=TimeOption(), help=f"Only predictions scored from then on, such as {timestamps.EXAMPLE}.")
@click.option(
    "--rest",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    help="How long to rest after a batch, as a multiple of what it took; live traffic gets the machine meanwhile.",
)
def rescore(model: str, where: str, since: datetime | None, rest: float) -> None:
    """Score stored inputs with MODEL@VERSION, beside their predictions, which stay as they are.

    Ended at any moment and run again, it goes on where it was, and scores no input twice.
    """
    # numpy and the model's library take a while to import, and no other command needs them
    from cli.rescoring import comparison, loading, printed, scoring
    from serving.contract import ModelAway

    escaped = where.replace(":", r"\:")  # a colon names no parameter here
    condition = f"({escaped}) AND p.scored_at >= coalesce(CAST(:since AS timestamptz), '-infinity')"
    with database("rescore") as engine:
        registry, version = version_of(engine, model)
        chosen = scoring.Chosen(condition, {"since": since}, scoring.taken_by(registry, version))
        try:
            with engine.connect() as connection:
                loaded = loading.load(connection, version)
                total = scoring.waiting(connection, version.spec, version.version, chosen)
            done = _watched(scoring.rescore(engine, loaded, chosen, rest), total)
        except (loading.NotLoadable, scoring.NotComparable, ModelAway) as error:
            sys.exit(f"millrace rescore: {error}")
        named = f"{version.model}@{version.version}"
        click.echo(f"{named}: {done.scored:,} inputs scored, {done.failed:,} of them failed")
        live = registry.live.get(version.model)
        if live is not None and live is not version and version.spec.score and live.spec.score and done.scored:
            with engine.connect() as connection:
                found = comparison.compare(connection, live, version, "100%")
            printed.bands(found)


def version_of(engine: Engine, model: str) -> tuple[Registry, ModelVersion]:
    """Return the version that MODEL@VERSION names, by default the one that was added last. Raises UsageError."""
    name, _, wanted = model.partition("@")
    with engine.connect() as connection:
        registry = versions.read(connection)
    found = registry.versions_of(name)
    if not found:
        raise click.UsageError(f"there is no model {name!r}; there are: {', '.join(registry.models)}")
    version = registry.version(name, wanted) if wanted else found[-1]
    if version is None:
        raise click.UsageError(f"{name} has no version {wanted}; it has {', '.join(one.version for one in found)}")
    return registry, version


def _watched(batches: Iterator["RescoreProgress"], total: int) -> "RescoreProgress":
    """Run to the end and show how far it is."""
    from cli.rescoring.scoring import RescoreProgress

    last, shown = RescoreProgress(), time.monotonic()
    with click.progressbar(length=total, label="Scoring", file=sys.stderr, show_pos=True) as bar:
        for batch in batches:
            bar.update(batch.scored - last.scored)
            last = RescoreProgress(batch.scored, batch.failed)
            if not sys.stderr.isatty() and time.monotonic() - shown > INTERVAL:
                click.echo(f"{last.scored:,} of {total:,} inputs scored", err=True)
                shown = time.monotonic()
    return last
