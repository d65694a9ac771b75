"""What `millrace models add --rewrite` says and asks before it changes the types of a table's columns."""

import click
from sqlalchemy import Engine, text

from registry import rewriting
from registry.administration import NewVersion
from registry.rewriting import Rewrite


def agreed(engine: Engine, new: NewVersion, *, yes: bool) -> Rewrite | None:
    """Say what the rewrite changes and costs, and ask; None: nothing has to change. Raises RegistryRefused."""
    if new.schema is None or (found := rewriting.plan(engine, new.model, new.table, new.schema)) is None:
        return None
    click.echo("\n".join(["", *_said(found), ""]))
    if not yes:
        click.confirm("Rewrite the table?", abort=True)
    rewriting.drain(engine, found)
    return found


def finish(engine: Engine, rewrite: Rewrite) -> None:
    """Give PostgreSQL's planner the new columns' statistics, and say what has been done."""
    with engine.begin() as connection:
        connection.execute(text(f'ANALYZE "{rewrite.table}"'))
    click.echo(f"\n{rewrite.table} is rewritten.")


def _said(found: Rewrite) -> list[str]:
    size = f"{found.bytes / 1e6:,.1f} MB" if found.bytes < 1e9 else f"{found.bytes / 1e9:,.1f} GB"
    measured = f", measured on {found.measured_on:,} of its rows" if found.measured_on else ""
    live = f"Version {found.live} stays live: it fits the table before and afterwards."
    return [
        f"--rewrite changes {found.table}:",
        *(f"  {change.column}: {change.before} becomes {change.after}" for change in found.changes),
        f"  It has {found.rows:,} rows and takes {size} on disk; as much again is needed meanwhile.",
        f"  That takes about {max(1, round(found.seconds)):,} s{measured}.",
        f"  The table is locked meanwhile: tasks of {found.model} wait, and their results cannot be read.",
        *([f"  {live}"] if found.live else []),
        *([f"  These versions can no longer be promoted: {', '.join(found.unfit)}."] if found.unfit else []),
    ]
