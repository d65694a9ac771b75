"""`millrace outcomes`: report what became known about predictions, and list what was reported."""

from collections.abc import Mapping
from typing import Any

import click

from millrace_client import formats
from millrace_client.cli.connection import client
from millrace_client.cli.output import AS_JSON, print_facts, print_rows
from millrace_client.cli.progress import ProgressLine
from millrace_client.file_options import Progress
from millrace_client.outcomes import send_file
from millrace_client.parts import Columns

COLUMNS = ("id", "model", "key", "task_id", "position", "outcome", "value", "decided_at", "reviewer", "predictions")
FIELDS = (
    *("model", "key", "task_id", "position", "outcome", "value", "decided_at", "reviewer", "source", "withdrawn"),
)


@click.group()
def outcomes() -> None:
    """Report what became known about predictions, and list what was reported."""


@outcomes.command()
@click.argument("file")
@click.option("--model", help="The model, where the file has no column with it.")
@click.option("--map", "mapped", multiple=True, metavar="COLUMN=FIELD", help="Send a column as this field; repeatable.")
@click.option("--ignore-unknown", is_flag=True, help="Leave out the columns that are no fields of an outcome.")
@click.option(
    "--format", "in_format", type=click.Choice(formats.NAMES), help="The format, where the name does not tell."
)
@click.option("--encoding", help="Of a text file. Default: UTF-8, or what its byte order mark says.")
@click.option("--batch", type=click.IntRange(1, 10_000), default=10_000, show_default=True, help="Rows in a request.")
@click.option("--timeout", type=float, default=24 * 3600.0, help="Seconds after which to give up. Default: a day.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@AS_JSON
@click.pass_context
def add(
    context: click.Context,
    /,
    file: str,
    mapped: tuple[str, ...],
    ignore_unknown: bool,
    in_format: str | None,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Report the outcomes in FILE: CSV, TSV, NDJSON, JSON, Parquet or Arrow, here or at a URL; - is standard input.

    Columns are fields of an outcome: key, or task_id and position; outcome; decided_at; and if you like model,
    reviewer, source, withdrawn. Run again, it changes nothing of what is stored.
    """
    line = ProgressLine(as_json=as_json, quiet=quiet)
    columns = Columns(_renamed(mapped), FIELDS.__contains__ if ignore_unknown else None)
    with client(context) as opened:
        try:
            counts = send_file(
                *(opened, file),
                columns=columns,
                input_format=in_format,
                progress=lambda total: line(Progress(total.reported)),
                **given,
            )
        finally:
            line.end()
    facts = {name: getattr(counts, name) for name in ("stored", "repeated", "matched", "waiting", "several")}
    print_facts(facts if as_json or counts.several else {**facts, "several": None}, as_json)


def _renamed(mapped: tuple[str, ...]) -> Mapping[str, str]:
    renamed = {}
    for one in mapped:
        column, sign, name = one.partition("=")
        if not sign or name not in FIELDS:
            raise click.UsageError(f"--map {one}: write COLUMN=FIELD; the fields are {', '.join(FIELDS)}")
        renamed[column] = name
    return renamed


@outcomes.command("list")
@click.option("--model", help="Only of this model.")
@click.option("--key", help="Only with this key of yours.")
@click.option("--task", "task_id", help="Only of this task.")
@click.option("--outcome", help="Only of this kind.")
@click.option("--reviewer", help="Only by this reviewer.")
@click.option("--source", help="Only from this source.")
@click.option("--decided-after", metavar="TIME", help="Only decided since then: 2026-01-31T09:00:00Z.")
@click.option("--decided-before", metavar="TIME", help="Only decided before then.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@AS_JSON
@click.pass_context
def list_outcomes(context: click.Context, /, limit: int, as_json: bool, **filters: str | None) -> None:
    """List outcomes, the ones stored last first."""
    with client(context) as opened:
        asked = {name: value for name, value in filters.items() if value is not None}
        print_rows(COLUMNS, opened.outcomes(limit=limit, **asked), as_json)
