"""`millrace train` and `millrace models fetch`: make an artifact of a model of this repository, and register it."""

import os
import subprocess
import sys
from collections.abc import Sequence

import click

from cli.database import database
from cli.encoding import for_programs
from devstack import local
from registry import builtin
from registry.prediction_tables import changing
from serving import catalogue

PASSED_ON = {"ignore_unknown_options": True, "help_option_names": []}
arguments_of_program = click.argument("arguments", nargs=-1, type=click.UNPROCESSED)


class BuiltIn(click.ParamType[str]):
    name = "MODEL"

    def __init__(self, program: str) -> None:
        self._program = program

    def convert(self, value: str, parameter: click.Parameter | None, context: click.Context | None) -> str:
        """Take the name of a model that has this program among its files."""
        if value == "--help" and context:
            click.echo(context.get_help())
            context.exit()
        able = [name for name in catalogue.specs() if (catalogue.FOLDER / name / f"{self._program}.py").exists()]
        if value not in able:
            self.fail(f"{value!r} is none of {', '.join(able)}")
        return value


@click.command(context_settings=PASSED_ON)
@click.argument("model", type=BuiltIn("train"))
@arguments_of_program
def train(model: str, arguments: tuple[str, ...]) -> None:
    """Make a new version of a model: millrace train report_scorer --help."""
    make(f"models.{model}.train", arguments)


@click.command(context_settings=PASSED_ON)
@click.argument("model", type=BuiltIn("convert"))
@arguments_of_program
def fetch(model: str, arguments: tuple[str, ...]) -> None:
    """Download a model's real weights and convert them: millrace models fetch translator --help."""
    make(f"models.{model}.convert", arguments)


def make(module: str, arguments: Sequence[str]) -> None:
    """Run what makes an artifact, as a program of its own, and register what it has made where a platform runs."""
    environment = {**os.environ, **for_programs()}
    done = subprocess.run([sys.executable, "-m", module, *arguments], env=environment, check=False)
    if done.returncode or local.database_url() is None:  # `make up` and the migration register it, too
        sys.exit(done.returncode)
    with database("models") as engine:
        for model, version in changing(engine, builtin.register):
            click.echo(f"{model} {version} is a candidate. Make it live: millrace models promote {model}@{version}")
