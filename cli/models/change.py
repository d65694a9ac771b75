"""`millrace models promote | shadow | rollback | retire`: moves a version to another state; who did it, and why."""

import sys
import time
from collections.abc import Callable
from typing import Any

import click
from sqlalchemy import Connection

from cli.database import database, login
from cli.models import judge
from registry import administration, versions
from registry import gate as registry_gate
from registry.administration import RegistryRefused
from registry.prediction_tables import changing
from store import workers

PATIENCE = 10.0
"""Seconds that a command waits for a worker to load what it has made live; it takes two or three."""


def who_and_why(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --by, --reason and --yes."""
    command = click.option("--by", default=login, show_default="your login name", help="Who does it.")(command)
    command = click.option("--reason", help="Why; a terminal asks for it.")(command)
    return click.option("--yes", is_flag=True, help="Ask nothing.")(command)


@click.command()
@click.argument("model", metavar="MODEL[@VERSION]")
@click.option("--force", is_flag=True, help="Go past the gate, with a reason: the event says so.")
@judge.excepting
@who_and_why
def promote(model: str, by: str, reason: str | None, yes: bool, force: bool, excepted: tuple[str, ...]) -> None:
    """Make a version live, by default the one that was added last.

    Where its model declares outcomes that its score or label is about, the gate is asked first: a version that is worse
    than the live one on the same outcomes is refused, and where too few can tell, a reason is needed. --except excuses
    one slice, with a reason; all else still has to pass.
    """
    name, version = split(model)

    def change(connection: Connection) -> str:
        verdict = registry_gate.require(connection, name, version, reason, force=force, excepted=excepted)
        return administration.promote(connection, name, version, by, reason, verdict)

    if not force:
        with database("models") as engine:
            if (found := judge.ask(engine, model, excepted=excepted)) is not None:
                judge.show(*found)
    reason = _ask(f"Promote {model}?", name, reason, yes)
    _tell(name, _changed(change))


@click.command()
@click.argument("model", metavar="MODEL[@VERSION]")
@click.option("--stop", is_flag=True, help="Let it score no longer.")
@who_and_why
def shadow(model: str, by: str, reason: str | None, yes: bool, stop: bool) -> None:
    """Let a candidate score what comes in, without an effect.

    `millrace shadow` runs it, and `millrace models compare` shows the result.
    """
    name, version = split(model)

    def change(connection: Connection) -> str:
        return administration.shadow(connection, name, version, by, reason, stop=stop)

    chosen = _changed(change)
    click.echo(f"{name}@{chosen} is {'a candidate again' if stop else 'a shadow; `millrace shadow` runs it'}.")


@click.command()
@click.argument("model")
@who_and_why
def rollback(model: str, by: str, reason: str | None, yes: bool) -> None:
    """Make the version of MODEL live that was so before."""

    def change(connection: Connection) -> str:
        return administration.roll_back(connection, model, by, reason)

    reason = _ask(f"Roll {model} back?", model, reason, yes)
    _tell(model, _changed(change))


@click.command()
@click.argument("model", metavar="MODEL[@VERSION]")
@who_and_why
def retire(model: str, by: str, reason: str | None, yes: bool) -> None:
    """Take a whole model out of use, or one version of it. Results stay readable, and `promote` undoes it."""
    name, version = split(model)

    def change(connection: Connection) -> list[str]:
        return administration.retire(connection, name, version, by, reason)

    reason = _ask(f"Retire {model}? Its waiting tasks will end.", name, reason, yes)
    retired = _changed(change)
    click.echo(f"Retired: {', '.join(f'{name} {one}' for one in retired) or 'nothing, as all versions were'}.")


def split(model: str) -> tuple[str, str | None]:
    """Return the model and the version of `MODEL@VERSION`, or of `MODEL` alone."""
    name, _, version = model.partition("@")
    return name, version or None


def _ask(question: str, model: str, reason: str | None, yes: bool) -> str | None:
    """Ask in a terminal what a script says by options. The first promotion of a model replaces nothing."""
    if yes or not sys.stdin.isatty():
        return reason
    with database("models") as engine, engine.connect() as connection:
        live = versions.read(connection).live.get(model)
    if live is None:
        return reason
    click.confirm(f"{question} Version {live.version} is live now", abort=True)
    return reason or click.prompt("Reason", default="", show_default=False) or None


def _tell(model: str, version: str) -> None:
    """Say that the version is live, when a worker process has loaded it, or that none has."""
    until = time.monotonic() + PATIENCE
    with database("models") as engine:
        while True:
            with engine.connect() as connection:
                processes = workers.processes_by_version(connection).get((model, version), 0)
                reasons = [row.reason for row in connection.execute(workers.UNLOADED) if row.model == model]
            if processes or reasons or time.monotonic() > until:
                break
            time.sleep(0.2)
    if processes:
        click.echo(
            f"{model} {version} is live: {processes} {'process has' if processes == 1 else 'processes have'} loaded it."
        )
    elif reasons:
        click.echo(f"{model} {version} is live, and no worker can load it: {reasons[0]}", err=True)
    else:
        click.echo(
            f"{model} {version} is live, and no worker has loaded it yet: start one that has its runtime.", err=True
        )


def _changed(change: Callable[[Connection], Any]) -> Any:
    with database("models") as engine:
        try:
            return changing(engine, change)
        except RegistryRefused as refused:
            sys.exit(f"millrace models: {refused}")
