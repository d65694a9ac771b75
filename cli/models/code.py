"""Runs a model that is code once, to see that it works and what it gives: its golden rows."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import msgspec

from devstack import local
from registry.artifacts import ArtifactCache, ArtifactSettings
from registry.inspection import ModelRefused, outputs_by_column
from registry.inspection.code import Predict
from runtimes import environment
from runtimes.code_model import CodeFailed, CodeModel, CodeSettings
from runtimes.environment import NotInstalled
from serving.artifact import CODE, Artifact, sha256
from serving.contract import Columns
from serving.schema import ModelSchema


def running(*, yes: bool) -> Predict:
    """Return what runs a model's code. In a terminal, it asks first."""

    def run(name: str, schema: ModelSchema, files: Mapping[str, Path], columns: Columns) -> dict[str, list[Any]]:
        settings = CodeSettings()
        if not settings.allows(name):
            raise ModelRefused(
                f"{name} is code, which may not run; to allow it, set ALLOW_MODEL_CODE={name} for this command and for "
                "the workers"
            )
        sockets = settings.code_model_sockets
        if sockets is None:
            _agree(name, yes=yes)
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / name
            for inside, file in files.items():
                (folder / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, folder / inside)
            manifest = {
                "version": "0",
                "runtime": CODE,
                "schema": msgspec.to_builtins(schema),
                "options": {"model": name},
                "sha256": {inside: sha256(folder / inside) for inside in files},
            }
            try:
                python = Path() if sockets else environment.install(folder, _environments())
                place = sockets / f"{name}.sock" if sockets else None
                model = CodeModel(Artifact(folder, manifest), place, python)
                try:
                    given = model.predict(columns)
                finally:
                    model.close()
            except (NotInstalled, CodeFailed) as error:
                raise ModelRefused(f"{name}: {error}") from None
        return outputs_by_column(schema, given, len(next(iter(columns.values()))))

    return run


def _agree(name: str, *, yes: bool) -> None:
    """Say what the code can do and, in a terminal, ask."""
    click.echo(
        f"{name} is code. It will run as you, and then as the workers' user, and can read all that they can read.",
        err=True,
    )
    if not yes and sys.stdin.isatty():
        click.confirm("Run it?", abort=True, err=True)


def _environments() -> Path:
    """Return where this machine's workers look for the packages of models."""
    cache = local.FOLDER / "models" if (local.FOLDER / "models").is_dir() else ArtifactSettings().model_cache
    ArtifactCache(cache)  # which nobody else may write to
    return cache / environment.FOLDER
