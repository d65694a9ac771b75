"""`millrace train` and `millrace models fetch`: make an artifact of a model of this repository, and register it."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import click
from millrace_client.cli.encoding import for_programs
from sqlalchemy import Connection

from cli.database import database
from devstack import local
from registry import builtin
from registry.administration import RegistryRefused
from registry.prediction_tables import changing
from serving import catalogue
from serving.artifact import ArtifactMissing, ArtifactTampered, UnsafeFormat

Register: TypeAlias = Callable[[Connection], list[tuple[str, str]]]
"""Adds versions to the registry and returns (model, version) of the new candidates."""

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
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the artifact there, and register it from there. Default: the model's own folder in this checkout.",
)
@click.option(
    "--from-outcomes",
    is_flag=True,
    help="Train on the stored predictions with an outcome: weighted by the log of draws, tested on the latest.",
)
@arguments_of_program
def train(model: str, out: Path | None, from_outcomes: bool, arguments: tuple[str, ...]) -> None:
    """Make a new version of a model: millrace train report_scorer --help."""
    if from_outcomes:
        _train_from_outcomes(model, out, arguments)
    elif out is None:
        make(f"models.{model}.train", arguments)
    else:
        make(
            f"models.{model}.train",
            [*arguments, "--out", str(out)],
            partial(builtin.register_from, name=model, folder=out),
        )


def _train_from_outcomes(model: str, out: Path | None, arguments: Sequence[str]) -> None:
    from cli.dataset import TEST_SHARE, write
    from cli.evaluate.command import asked_for

    with TemporaryDirectory() as folder:
        data, made = Path(folder) / "outcomes.parquet", out or Path(folder) / "artifact"
        with database("train") as engine:
            write(engine, asked_for(engine, model, None, ()), data, TEST_SHARE)
        given = ("--data", str(data), "--label", "is_target", "--weight", "weight", "--split", "split")
        register = partial(builtin.register_from, name=model, folder=made)
        make(f"models.{model}.train", [*given, *arguments, "--out", str(made)], register)


@click.command(context_settings=PASSED_ON)
@click.argument("model", type=BuiltIn("convert"))
@arguments_of_program
def fetch(model: str, arguments: tuple[str, ...]) -> None:
    """Download a model's real weights and convert them: millrace models fetch translator --help."""
    make(f"models.{model}.convert", arguments)


def make(module: str, arguments: Sequence[str], register: Register = builtin.register) -> None:
    """Run what makes an artifact, as a program of its own, and register what it has made where a platform runs."""
    environment = {**os.environ, **for_programs()}
    done = subprocess.run([sys.executable, "-m", module, *arguments], env=environment, check=False)
    if done.returncode or local.database_url() is None:  # `make up` and the migration register it, too
        sys.exit(done.returncode)
    with database("models") as engine:
        try:
            candidates = changing(engine, register)
        except (ArtifactMissing, ArtifactTampered, UnsafeFormat, RegistryRefused) as refused:
            sys.exit(f"millrace train: {refused}")
        for model, version in candidates:
            click.echo(f"{model} {version} is a candidate. Make it live: millrace models promote {model}@{version}")
