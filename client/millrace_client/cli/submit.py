"""`millrace submit`: a file in, its scores out."""

import json
import sys
from typing import Any

import click

from millrace_client import files, formats
from millrace_client.cli.connection import client
from millrace_client.cli.exits import INTERRUPTED, REJECTS
from millrace_client.cli.progress import ProgressLine
from millrace_client.client import Client
from millrace_client.exchange import Deadline
from millrace_client.file_options import FileOptions
from millrace_client.models import Job, Model
from millrace_client.parts import Columns
from millrace_client.validating import validate_file

FORMATS = click.Choice(formats.NAMES)


@click.command()
@click.argument("file")
@click.option("--model", default="report_scorer", show_default=True, help="The model that scores the rows.")
@click.option("--wait", is_flag=True, help="Wait until every row is scored. --out implies it.")
@click.option("--out", metavar="FILE", help="Where to write the rows beside their outputs; - for standard output.")
@click.option("--map", "mapped", multiple=True, metavar="COLUMN=FIELD", help="Send a column as this field; repeatable.")
@click.option("--key", metavar="COLUMN", help="The column with your own key for each row.")
@click.option("--ignore-unknown", is_flag=True, help="Leave out the columns that the model does not know.")
@click.option(
    "--on-invalid",
    type=click.Choice(["stop", "skip", "collect"]),
    default="stop",
    show_default=True,
    help="What to do with invalid rows: stop, leave them out, or write them to a file as well.",
)
@click.option("--rejects", metavar="FILE", help="Where --on-invalid collect writes. Default: OUT.rejects.csv.")
@click.option("--batch", type=click.IntRange(1), help="Rows in a task. Default: as many as the model takes.")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]), default="low", show_default=True)
@click.option("--dry-run", is_flag=True, help="Say which rows would be rejected, and store nothing.")
@click.option("--resume", is_flag=True, help="Go on with the interrupted run of this command.")
@click.option("--format", "in_format", type=FORMATS, help="The file's format, where its name does not tell.")
@click.option("--out-format", type=FORMATS, help="The same of --out.")
@click.option("--encoding", help="Of a text file. Default: UTF-8, or what its byte order mark says.")
@click.option("--outputs-only", is_flag=True, help="Write the outputs without the inputs; your own key stays.")
@click.option("--details", is_flag=True, help="Write the number, task and time of each row as well.")
@click.option("--timeout", type=float, default=24 * 3600.0, help="Seconds after which to give up. Default: a day.")
@click.option("--json", "as_json", is_flag=True, help="Print the result and the progress as JSON.")
@click.option("--callback-url", metavar="URL", help="Called once, when all rows are scored or rejected.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@click.pass_context
def submit(context: click.Context, /, file: str, as_json: bool, quiet: bool, dry_run: bool, **given: Any) -> None:
    """Score the rows of FILE: CSV, TSV, NDJSON, JSON, Parquet or Arrow, here or at a URL; - is standard input.

    \b
    millrace submit reports.csv --out scored.parquet
    millrace submit s3://bucket/reports.parquet --out s3://bucket/scored.parquet
    """
    out: str | None = given["out"]
    progress = ProgressLine(as_json=as_json, quiet=quiet)
    with client(context) as opened:
        options = _options(opened, file, given)
        if dry_run:
            _dry_run(context, opened, file, options, as_json)
            return
        run, deadline = files.run_of(opened, file, options), Deadline(options.timeout)
        try:
            job = files.submit_file(opened, file, progress=progress, options=options, run=run, deadline=deadline)
            if out is not None:
                job = files.finish(opened, job, out, progress=progress, options=options, deadline=deadline)
            elif given["wait"]:
                job = files.wait(opened, job.job_id, progress, deadline)
                files.write_rejects(opened, job, options, deadline)
                files.require_scored(job)
        except KeyboardInterrupt:
            progress.end()
            click.echo("millrace: interrupted; the same command with --resume goes on", err=True)
            sys.exit(INTERRUPTED)
        finally:
            progress.end()
        run.forget()
    _tell(job, out, options, as_json, waited=given["wait"] or out is not None)
    context.exit(REJECTS if job.rows["rejected"] else 0)


def _options(opened: Client, file: str, given: dict[str, Any]) -> FileOptions:
    model = opened.model(given["model"])
    rejects = given["rejects"]
    if given["on_invalid"] == "collect" and not (given["wait"] or given["out"]):
        raise click.UsageError("--on-invalid collect needs --wait or --out: the model may reject rows as well")
    if given["on_invalid"] == "collect" and rejects is None:
        rejects = f"{given['out'] or file}.rejects.csv"
        if rejects.startswith(formats.STANDARD):
            raise click.UsageError("--on-invalid collect needs --rejects FILE where nothing else names a file")
    for path, form in ((file, given["in_format"]), (given["out"], given["out_format"])):
        if path is not None:
            formats.format_of(path, form)
    if rejects is not None and formats.format_of(rejects).name not in (formats.CSV, formats.TSV, formats.NDJSON):
        raise click.UsageError("--rejects must be a file of csv, tsv or ndjson")
    return FileOptions(
        model=model.name,
        columns=_columns(model, given),
        batch=given["batch"],
        on_invalid=given["on_invalid"],
        rejects=rejects if given["on_invalid"] == "collect" else None,
        priority=given["priority"],
        callback_url=given["callback_url"],
        input_format=given["in_format"],
        output_format=given["out_format"],
        encoding=given["encoding"],
        outputs_only=given["outputs_only"],
        details=given["details"],
        timeout=given["timeout"],
        resume=given["resume"],
    )


def _columns(model: Model, given: dict[str, Any]) -> Columns:
    fields = list((model.input or {}).get("properties", {}))
    renamed: dict[str, str] = {}
    for one in given["mapped"]:
        column, sign, name = one.partition("=")
        if not sign or name not in fields:
            raise click.UsageError(f"--map {one}: write COLUMN=FIELD; the fields are {', '.join(fields)}")
        renamed[column] = name
    if given["key"] is not None:
        if model.key is None:
            raise click.UsageError(f"the model {model.name} has no field for a key of yours")
        renamed[given["key"]] = model.key
    return Columns(renamed, fields.__contains__ if given["ignore_unknown"] else None)


def _dry_run(context: click.Context, opened: Client, file: str, options: FileOptions, as_json: bool) -> None:
    found = validate_file(opened, file, options)
    if as_json:
        click.echo(json.dumps(found))
    else:
        for reject in found["rejects"]:
            for error in reject["errors"]:
                click.echo(f"row {reject['row']}: {error['pointer'].removeprefix('#/')}: {error['detail']}")
        click.echo(f"{found['valid']:,} rows are valid, {found['rejected']:,} would be rejected", err=True)
    context.exit(REJECTS if found["rejected"] else 0)


def _tell(job: Job, out: str | None, options: FileOptions, as_json: bool, *, waited: bool) -> None:
    if as_json:
        facts = {"job_id": job.job_id, "status": job.status, **job.rows, "out": out, "rejects": options.rejects}
        click.echo(json.dumps(facts), err=out == formats.STANDARD)
        return
    rows = job.rows
    words = [f"{rows['scored']:,} of {rows['received']:,} rows scored"] if job.ended else [f"{rows['received']:,} rows"]
    if rows["rejected"]:
        words.append(f"{rows['rejected']:,} rejected" + (f", listed in {options.rejects}" if options.rejects else ""))
    click.echo(f"{', '.join(words)}; job {job.job_id}", err=True)
    if not waited:  # though it may have ended: a script reads the id
        click.echo(job.job_id)
        click.echo(f"read them with: millrace jobs results {job.job_id} --out scored.csv", err=True)
