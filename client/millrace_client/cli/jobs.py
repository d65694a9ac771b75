"""`millrace jobs`: files that were submitted, and many tasks that are replayed or cancelled together."""

import time
from uuid import uuid4

import click

from millrace_client import files, operations
from millrace_client.cli.connection import client
from millrace_client.cli.exits import REJECTS
from millrace_client.cli.output import AS_JSON, print_facts, print_rows
from millrace_client.file_options import FileOptions
from millrace_client.models import Job

COLUMNS = ("job_id", "kind", "model", "created_at", "closed_at", "finished_at", "cancelled_at")


LOOK = 1.0
"""Seconds between two looks at a job that is waited for."""


@click.group()
def jobs() -> None:
    """List jobs, show how far one is, read its results, cancel it; replay or cancel many tasks at once."""


@jobs.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@AS_JSON
@click.pass_context
def list_jobs(context: click.Context, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    with client(context) as opened:
        found = opened.run(operations.jobs(limit, opened.deadline()))
    print_rows(COLUMNS, found, as_json)


@jobs.command()
@click.argument("job_id")
@AS_JSON
@click.pass_context
def show(context: click.Context, job_id: str, as_json: bool) -> None:
    """Show how far a job is."""
    with client(context) as opened:
        print_job(opened.job(job_id), as_json)


@jobs.command()
@click.argument("job_id")
@AS_JSON
@click.pass_context
def cancel(context: click.Context, job_id: str, as_json: bool) -> None:
    """Cancel a job that has not ended. What is scored, replayed or cancelled stays so."""
    with client(context) as opened:
        print_job(opened.cancel_job(job_id), as_json)


@jobs.command()
@click.argument("job_id")
@click.option("--out", required=True, help="Where to write the rows; - for standard output.")
@click.option("--out-format", help="csv, tsv, ndjson, json, parquet or arrow, where the name does not tell.")
@click.option("--rejects", metavar="FILE", help="Where to write the rejected rows: row, field, reason.")
@click.pass_context
def results(context: click.Context, job_id: str, out: str, out_format: str | None, rejects: str | None) -> None:
    """Wait until a job has ended, and write its rows in the order of the file."""
    with client(context) as opened:
        options = FileOptions(output_format=out_format, rejects=rejects)
        job = files.finish(opened, opened.job(job_id), out, options=options)
    context.exit(REJECTS if job.rows["rejected"] else 0)


@jobs.command()
@click.argument("kind", type=click.Choice(["replay", "cancel"]))
@click.option("--status", default="", help="FAILURE to replay (default), PENDING (default) or STARTED to cancel.")
@click.option("--model", help="Only tasks of this model.")
@click.option("--client", "of_client", help="Only tasks of this client.")
@click.option("--submitted-after", metavar="TIME", help="RFC 3339, such as 2026-01-31T09:00:00Z.")
@click.option("--submitted-before", metavar="TIME")
@click.option("--limit", type=click.IntRange(1, 100_000), help="Only so many tasks, the newest.  [default: 100000]")
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@AS_JSON
@click.pass_context
def make(
    context: click.Context,
    /,
    kind: str,
    status: str,
    of_client: str | None,
    limit: int | None,
    wait: bool,
    as_json: bool,
    **filters: str | None,
) -> None:
    """Make a job that replays or cancels what matches. A task that has left its state by then is left alone."""
    chosen = {
        "status": status.upper() or ("FAILURE" if kind == "replay" else "PENDING"),
        "client": of_client,
        **filters,
    }
    asked = {"kind": kind, "filter": {name: value for name, value in chosen.items() if value}, "limit": limit}
    with client(context) as opened:
        job = opened.run(operations.make_job(asked, str(uuid4()), opened.deadline()))
        while wait and not job.ended:
            time.sleep(LOOK)
            job = opened.job(job.job_id)
    print_job(job, as_json)


def print_job(job: Job, as_json: bool) -> None:
    """Print how far a job is."""
    names = ("job_id", "kind", "status", "model", *(["parts"] if job.rows else []), "created_at")
    print_facts({**{name: getattr(job, name) for name in names}, **job.rows, **job.tasks}, as_json)
