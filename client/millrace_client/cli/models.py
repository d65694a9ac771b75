"""`millrace models`: the served models. The server's package adds the commands that change them."""

import click

from millrace_client.cli.connection import client
from millrace_client.cli.output import AS_JSON, print_facts, print_rows

COLUMNS = ("name", "version", "runtime", "processes", "title")


@click.group()
def models() -> None:
    """List the served models, and show what one takes and gives."""


@models.command("list")
@AS_JSON
@click.pass_context
def list_models(context: click.Context, as_json: bool) -> None:
    """List the served models."""
    with client(context) as opened:
        found = [{name: getattr(model, name) for name in COLUMNS} for model in opened.models()]
    print_rows(COLUMNS, found, as_json)


@models.command()
@click.argument("model")
@AS_JSON
@click.pass_context
def show(context: click.Context, model: str, as_json: bool) -> None:
    """Show MODEL: its version, and the schemas of a row in and of a row out."""
    with client(context) as opened:
        found = opened.model(model)
    print_facts({name: getattr(found, name) for name in found.__slots__}, as_json)
