"""`millrace dataset`: what a training needs of a model's outcomes, as one Parquet file."""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.database import database
from cli.evaluate.command import TimeOption, asked_for
from store import timestamps

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from cli.evaluate.population import EvaluationAsked

KEPT = "is kept"
"""A column while it is read, of a name that no model's column has."""

TRAIN, TEST = "train", "test"
TEST_SHARE = 0.2


@click.command()
@click.argument("model")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The Parquet file to write."
)
@click.option("--since", type=TimeOption(), help=f"Only predictions scored from then on, such as {timestamps.EXAMPLE}.")
@click.option("--without", multiple=True, metavar="KIND", help="Leave outcomes of this kind out; repeatable.")
@click.option(
    "--test-share",
    type=click.FloatRange(0, 1),
    default=TEST_SHARE,
    show_default=True,
    help="Share of the rows for testing: those that were scored last.",
)
@click.option("--clip", type=click.FloatRange(1), help="The highest weight; by default the root of the number of rows.")
def dataset(
    model: str, out: Path, since: datetime | None, without: tuple[str, ...], test_share: float, clip: float | None
) -> None:
    """Write the training table of MODEL: the inputs of predictions that have an outcome, with truth, weight and split.

    A weight says how many predictions a row stands for, by the log of draws. The same rows make the same file. Rows
    whose texts or pictures have been emptied by retention or erasure are left out, and counted.
    """
    with database("dataset") as engine:
        write(engine, asked_for(engine, model, since, without), out, test_share, clip)


def write(engine: "Engine", asked: "EvaluationAsked", out: Path, test_share: float, clip: float | None = None) -> None:
    """Write the file, and say what is in it."""
    from pyarrow import parquet

    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        table, emptied = _read(connection, asked, test_share, clip)
    if emptied:
        click.echo(f"rows left out because retention or erasure has emptied their content: {emptied:,}", err=True)
    if not table.num_rows:
        period = " in that time" if asked.since else ""
        raise click.ClickException(
            f"{asked.spec.name} has no outcomes{period}{' on inputs still kept' * bool(emptied)}"
        )
    parquet.write_table(table, out, compression="zstd")
    tests = table["split"].to_pylist().count(TEST)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    click.echo(f"{table.num_rows:,} rows in {out}, {tests:,} of them for testing; sha256 {digest}")


def _read(
    connection: "Connection", asked: "EvaluationAsked", test_share: float, clip: float | None
) -> "tuple[Any, int]":
    """Return an Arrow table, a row for each decided prediction, in the order in which they were scored.

    And how many rows are not in it because nothing is left of what was scored.
    """
    import numpy as np
    import pyarrow as pa

    from cli.evaluate import population
    from cli.evaluate.training import weights_of
    from cli.rescoring.scoring import kept_in_sql

    columns = {**_columns(asked), KEPT: (kept_in_sql(asked.spec), "boolean")}
    found, table = population.read_beside(connection, asked, {}, columns)
    decided = found.decided & found.within
    chosen = decided & table[KEPT].fill_null(False).to_numpy()
    table = (
        table.drop_columns(KEPT)
        .filter(pa.array(chosen))
        .append_column("weight", pa.array(weights_of(found, clip)[chosen]))
    )
    table = table.sort_by([("scored_at", "ascending"), ("task_id", "ascending"), ("position", "ascending")])
    split = np.where(np.arange(len(table)) < round(len(table) * (1 - test_share)), TRAIN, TEST)
    table = table.append_column("split", pa.array(split.tolist(), pa.string()))
    return table, int(decided.sum() - chosen.sum())


def _columns(asked: "EvaluationAsked") -> dict[str, tuple[str, str]]:
    """Return what is written beside weight and split; an input of one of these names gets a prefix."""
    before = {
        "task_id": ("p.task_id", "uuid"),
        "position": ("p.position", "integer"),
        "scored_at": ("p.scored_at", "timestamp with time zone"),
        "model_version": ("p.model_version", "text"),
    }
    after = {
        "outcome": ("o.outcome", "text"),
        "outcome_value": ("o.value", "double precision"),
        "is_target": ("o.is_target", "boolean"),
        "decided_at": ("o.decided_at", "timestamp with time zone"),
    }
    taken = {*before, *after, "weight", "split"}
    inputs = {
        f"input_{column.name}" if column.name in taken else column.name: (f'p."{column.name}"', _type(column.kind))
        for column in asked.spec.input_columns
    }
    return {**before, **inputs, **after}


def _type(kind: str) -> str:
    """Return a column's type as PostgreSQL names it."""
    named = {"double": "double precision", "bytes": "bytea", "timestamp": "timestamp with time zone"}
    return named.get(kind, "double precision[]" if kind == "double[]" else kind)
