"""`millrace drift`: how far each column has moved. In containers: `python -m cli.drift`."""

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click
from millrace_client.cli.encoding import print_anything
from sqlalchemy import Engine

from cli.compared_columns import ComparedColumn, compared
from cli.database import database
from cli.sql import print_table
from evaluation.pictures.column import bins, column
from registry import versions
from registry.versions import ModelVersion, NoSpec
from store import drift as kept
from store.old_days import first_kept

COLUMNS = ["model", "version", "column", "against", "rows", "psi", "band", "missing", "unseen", "drift"]


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="The day (UTC) to compare; default: yesterday.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object a column and reference.")
@click.option(
    "--plot", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", help="Write pictures (SVG) there."
)
def drift(models: tuple[str, ...], day: datetime | None, as_json: bool, plot: Path | None) -> None:
    """Compare a day's inputs and scores with the training and with the seven days before.

    Without MODEL, all models that have a live version. The table `drift` keeps the results; a day that was compared
    before is replaced.
    """
    with database("drift") as engine:
        chosen = _chosen(engine, models)
        found = list(_compare(engine, chosen, _day(engine, day)))
    if plot is not None:
        _draw(found, plot)
    if as_json:
        for one in found:
            click.echo(json.dumps(one.row, default=str, ensure_ascii=False))
        return
    print_table(COLUMNS, [_line(one) for one in found])
    drifted = sum(bool(one.drift.drifted) for one in found)
    click.echo(f"{drifted} of {len(found)} comparisons found drift")


def _chosen(engine: Engine, models: Sequence[str]) -> list[ModelVersion]:
    with engine.connect() as connection:
        live = versions.read(connection).live
    if unknown := [model for model in models if model not in live]:
        raise click.UsageError(f"there is no live version of {unknown[0]!r}; there are: {', '.join(live)}")
    return [version for model, version in live.items() if not models or model in models]


def _day(engine: Engine, asked: datetime | None) -> date:
    with engine.connect() as connection:
        yesterday = first_kept(connection, 1)
    if asked is not None and asked.date() > yesterday:
        raise click.UsageError(f"--day: {asked.date()} is not over; the last day that is over is {yesterday} (UTC)")
    return yesterday if asked is None else asked.date()


def _compare(engine: Engine, chosen: Sequence[ModelVersion], day: date) -> Iterator[ComparedColumn]:
    for version in chosen:
        try:
            found = list(compared(engine, version, day))
        except NoSpec as error:
            click.echo(f"millrace drift: {version.model} is left out: {error}", err=True)
            continue
        if found:
            with engine.begin() as connection:
                kept.keep(connection, [one.row for one in found])
        yield from found


def _line(one: ComparedColumn) -> Sequence[Any]:
    moved, row = one.drift, one.row
    verdict = (", ".join(moved.drifted) or "no") if moved.enough else "too few rows"
    figures = [f"{value:.4f}" for value in (moved.psi.value, moved.psi.limit)]
    shares = [f"{moved.missing.value:+.2%}", f"{moved.unseen.value:.2%}"]
    return [row["model"], row["version"], one.column, one.against, moved.rows, *figures, *shares, verdict]


def _draw(found: Sequence[ComparedColumn], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [one for one in found if one.reference.counted.parts]  # a column without any row has nothing to show
    for one in drawn:
        labels = one.reference.categories or bins(one.reference.edges)
        name = f"{one.version.model}-{one.column}-{one.against}"
        title = f"{one.column} of {one.version.model}"
        svg = column(title, labels, one.reference.counted, one.now, one.drift)
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    click.echo(f"{len(drawn)} pictures in {folder}", err=True)


if __name__ == "__main__":
    print_anything()
    drift()
