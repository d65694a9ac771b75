"""`millrace models inspect | add`: reads a model's files, says what they would become, and stores them as a version."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection

from cli.database import database
from cli.models import rewriting
from cli.models.change import who_and_why
from cli.models.code import running
from cli.models.install import install
from cli.models.train import make
from registry import administration, prediction_tables
from registry.administration import Added, NewVersion, RegistryRefused
from registry.inspection import ModelProposal, ModelRefused, RuntimeMissing
from registry.inspection import inspect as read
from registry.inspection.code import Predict
from registry.large_files import FileAway, LargeFileSettings, upload
from registry.prediction_tables import changing
from registry.rewriting import Rewrite, perform
from serving.artifact import EXTERNAL_DATA, ArtifactTampered
from serving.schema import ModelSchema, SchemaField, spec_of
from serving.training import write_golden, write_json
from telemetry.settings_errors import exit_on_invalid_settings

_PATH = click.argument("path", type=click.Path(path_type=Path))
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _reading(command: Any) -> Any:
    """Give a command what says how the files are to be read."""
    for option in (
        click.option("--label", metavar="COLUMN", help="The sample's column with the truth: makes an evaluation."),
        click.option("--key", metavar="COLUMN", help="The column with the caller's own key."),
        click.option("--sample", type=_FILE, help="Rows as CSV, NDJSON or Parquet: kinds, examples, golden rows."),
        click.option("--name", help="The model's name; default: the folder's or the file's."),
        _PATH,
    ):
        command = option(command)
    return command


@click.command()
@_reading
def inspect(path: Path, **options: Any) -> None:
    """Show what the model in PATH would become. Nothing of it runs, and nothing is stored."""
    proposal = _proposal(path, options)
    _print(proposal)
    click.secho("\nA complete model.toml:\n", bold=True)
    click.echo(proposal.toml)


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@_reading
@click.option("--rewrite", is_flag=True, help="Change the types of the table's columns; says the cost first, and asks.")
@who_and_why
@click.pass_context
@exit_on_invalid_settings()
def add(
    context: click.Context, /, path: Path, by: str, reason: str | None, yes: bool, rewrite: bool, **options: Any
) -> None:
    """Store the model in PATH as a new version, a candidate, and make its table.

    A table only grows. With --rewrite, its columns get the types that this version has, if no value is lost.

    With --labels FILE, PATH is a network for the image classifier: see models/image_classifier/README.md.
    """
    if any(argument.partition("=")[0] == "--labels" for argument in context.args):
        name = ["--name", options["name"]] if options["name"] else []
        make("models.image_classifier.add", [str(path), *name, *context.args])
        return
    if context.args:
        raise click.NoSuchOption(context.args[0])
    large_files = LargeFileSettings()
    proposal = _proposal(path, options, yes=yes, run=running(yes=yes))
    _print(proposal)
    with database("models") as engine, TemporaryDirectory() as folder:
        new = new_version(proposal, Path(folder))
        try:
            new = _with_large_files(new, large_files.artifacts_url)  # first, as what follows lets tasks wait
            planned = rewriting.agreed(engine, new, yes=yes) if rewrite else None
            added = changing(engine, partial(_store, new, proposal.schema, planned, by, reason))
            prediction_tables.index_key(engine, spec_of(new.model, new.table, proposal.schema))
        except (RegistryRefused, FileAway, ArtifactTampered) as refused:
            sys.exit(f"millrace models add: {refused}")
        if planned:
            rewriting.finish(engine, planned)
    if not added.is_new:
        click.echo(f"\n{new.model}: unchanged, it is version {added.version}.")
        return
    click.echo(f"\n{new.model} version {added.version} is a candidate. Make it live:\n")
    click.echo(f"  millrace models promote {new.model}" + (f"@{added.version}" if added.version != "1" else ""))


def _with_large_files(new: NewVersion, url: str | None) -> NewVersion:
    """Send the large files below the URL, if there is one. Raises FileAway and ArtifactTampered."""
    return new if url is None else replace(new, large=upload(new.files, url, _tell))


def _tell(url: str, size: int) -> None:
    click.echo(f"Sending {size:,} bytes to {url} …", err=True)


def _store(
    new: NewVersion, schema: ModelSchema, planned: Rewrite | None, by: str, reason: str | None, connection: Connection
) -> Added:
    added = administration.add(connection, new, by, reason)
    spec = spec_of(new.model, new.table, schema)
    if planned:
        perform(connection, planned, spec)
    elif added.is_new:
        prediction_tables.make(connection, spec)
    return added


def _proposal(path: Path, options: dict[str, Any], *, yes: bool = False, run: Predict | None = None) -> ModelProposal:
    """Read the model. Where its library is not installed beside this command, offer to install it."""
    try:
        try:
            return read(path, **options, run=run)
        except RuntimeMissing as missing:
            if not install(missing.runtime, yes=yes):
                raise
            return read(path, **options, run=run)
    except ModelRefused as refused:
        sys.exit(f"millrace models: {refused}")


def new_version(proposal: ModelProposal, folder: Path) -> NewVersion:
    """Return what is stored: the model's own files, and beside them the golden rows and the evaluation."""
    files = dict(proposal.files)
    write_golden(folder, ((row["input"], row["output"]) for row in proposal.golden))
    files["golden.jsonl"] = folder / "golden.jsonl"
    evaluation = {**(proposal.evaluation or {}), **({"reference": proposal.reference} if proposal.reference else {})}
    write_json(folder / "evaluation.json", evaluation)
    files["evaluation.json"] = folder / "evaluation.json"
    return NewVersion(
        proposal.name,
        f"{proposal.name}_predictions",
        runtime=proposal.runtime,
        schema=proposal.schema,
        files=files,
        manifest={
            "runtime": proposal.runtime,
            "schema": msgspec.to_builtins(proposal.schema),
            "options": proposal.options,
            "golden_source": proposal.golden_source,
            **({EXTERNAL_DATA: sorted(proposal.external_data)} if proposal.external_data else {}),
        },
        evaluation=evaluation,
    )


def _print(proposal: ModelProposal) -> None:
    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("", "field", "column", "kind", "null", "values", "example"):
        table.add_column(head, overflow="fold")
    for place, fields in (("in", proposal.schema.input), ("out", proposal.schema.output)):
        for field in fields:
            table.add_row(*map(Text, (place, field.name, field.column, field.kind, *_rules(proposal, field))))
    facts = {
        "model": proposal.name,
        "runtime": proposal.runtime,
        "files": ", ".join([*list(proposal.files)[:5], *(["…"] if len(proposal.files) > 5 else [])]),
        "table": f"{proposal.name}_predictions, and the view {proposal.name}_rows",
        "trust": _TRUST[proposal.trust],
        "golden rows": f"{len(proposal.golden)}, {_GOLDEN[proposal.golden_source]}" if proposal.golden else "none yet",
    }
    for name, fact in facts.items():
        console.print(Text(f"{name:12}", style="dim") + Text(fact), soft_wrap=True)
    console.print()
    console.print(table)
    for warning in proposal.warnings:
        console.print(Text("! ", style="yellow") + Text(warning), soft_wrap=True)


_TRUST = {
    "data": "data only: nothing in it runs",
    "code": "code: the operator allows it by its name",
    "remote": "remote: another server scores the inputs",
}
_GOLDEN = {"expected": "with the outputs that the sample expects", "self-made": "self-made: the sample expects nothing"}


def _rules(proposal: ModelProposal, field: SchemaField) -> tuple[str, str, str]:
    key = "key" if field.column == proposal.schema.key else ""
    choices = ", ".join(map(str, (field.choices or ())[:5])) + (" …" if len(field.choices or ()) > 5 else "")
    bounds = " ".join(f"{sign} {bound}" for sign, bound in (("≥", field.ge), ("≤", field.le)) if bound is not None)
    return (
        "yes" if field.nullable else "",
        key or choices or bounds,
        "" if field.example is None else str(field.example),
    )
