"""The group of commands, and those that only look: list and events."""

import click

from cli.database import database
from cli.models.add import add, inspect
from cli.models.change import promote, retire, rollback, shadow
from cli.models.judge import compare, gate
from cli.models.train import fetch
from cli.sql import in_form, print_rows
from registry import versions
from store import models as statements
from store import workers


@click.group()
def models() -> None:
    """Add models, promote and roll back their versions, and see what became of each."""


@models.command("list")
@click.option("--all", "every", is_flag=True, help="Every version, not only the latest state of each model.")
@in_form
def list_models(every: bool, form: str | None) -> None:
    """List the models with their versions and the worker processes that have them loaded."""
    with database("models") as engine, engine.connect() as connection:
        registry = versions.read(connection)
        loaded = workers.processes_by_version(connection)
    rows = []
    for model in registry.models:
        shown = registry.versions_of(model) if every else [registry.latest(model)]
        for version in filter(None, shown):
            state = registry.state(version)
            title = registry.title(version)
            processes = loaded.get((model, version.version), 0)
            rows.append((model, version.version, str(state), version.runtime, processes, title))
    print_rows(["model", "version", "state", "runtime", "processes", "title"], rows, form)


@models.command()
@click.argument("model")
@in_form
def events(model: str, form: str | None) -> None:
    """Show what became of MODEL's versions: when, by whom, and why."""
    with database("models") as engine, engine.connect() as connection:
        rows = statements.events(connection, model)
    if not rows:
        raise click.UsageError(f"there is no model {model}; `millrace models list` shows them")
    print_rows(["at", "version", "event", "from", "to", "by", "reason", "gate"], rows, form)


for command in (inspect, add, gate, promote, shadow, compare, rollback, retire, fetch):
    models.add_command(command)
