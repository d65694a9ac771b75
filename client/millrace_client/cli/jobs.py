"""`millrace jobs`: files that were submitted, and what became of them."""

import click

from millrace_client import files, operations
from millrace_client.cli.connection import client
from millrace_client.cli.exits import REJECTS
from millrace_client.cli.output import AS_JSON, print_facts, print_rows
from millrace_client.file_options import FileOptions
from millrace_client.models import Job

COLUMNS = ("job_id", "model", "created_at", "closed_at", "finished_at", "cancelled_at")


@click.group()
def jobs() -> None:
    """List jobs, show how far one is, read its results, cancel it."""


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
    """Cancel a job that has not ended. What is scored stays."""
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


def print_job(job: Job, as_json: bool) -> None:
    """Print how far a job is."""
    facts = {name: getattr(job, name) for name in ("job_id", "status", "model", "parts", "created_at")}
    print_facts({**facts, **job.rows}, as_json)
