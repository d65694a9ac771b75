"""`millrace models` and `millrace train`: what is served here, and making, fetching or adding an artifact."""

import subprocess
import sys

import click

from models import artifact, catalogue

_PASSED_ON = {"ignore_unknown_options": True, "help_option_names": []}
_arguments = click.argument("arguments", nargs=-1, type=click.UNPROCESSED)


class Served(click.ParamType[str]):
    name = "MODEL"

    def __init__(self, program: str) -> None:
        self._program = program

    def convert(self, value: str, parameter: click.Parameter | None, context: click.Context | None) -> str:
        """Take the name of a model that has this program among its files."""
        if value == "--help" and context:
            click.echo(context.get_help())
            context.exit()
        able = [name for name in catalogue.specs() if (catalogue.ROOM / name / f"{self._program}.py").exists()]
        if value not in able:
            self.fail(f"{value!r} is none of {', '.join(able)}")
        return value


@click.group()
def models() -> None:
    """List the served models; fetch real weights; add your own."""


@models.command("list")
def list_models() -> None:
    """List the served models with the version that workers load."""
    for name, spec in catalogue.specs().items():
        try:
            version = artifact.current(name).version
        except artifact.ArtifactMissing:
            version = "no artifact"
        click.echo(f"{name:20} {version:20} {spec.title}")


@models.command(context_settings=_PASSED_ON)
@click.argument("model", type=Served("convert"))
@_arguments
def fetch(model: str, arguments: tuple[str, ...]) -> None:
    """Download a model's real weights and convert them: millrace models fetch translator --help."""
    _run(f"models.{model}.convert", arguments)


@models.command(context_settings=_PASSED_ON)
@_arguments
def add(arguments: tuple[str, ...]) -> None:
    """Serve an image classifier of your own, ONNX or TorchScript: millrace models add --help."""
    _run("models.image_classifier.add", arguments)


@click.command(context_settings=_PASSED_ON)
@click.argument("model", type=Served("train"))
@_arguments
def train(model: str, arguments: tuple[str, ...]) -> None:
    """Make a new version of a model: millrace train report_scorer --help."""
    _run(f"models.{model}.train", arguments)


def _run(module: str, arguments: tuple[str, ...]) -> None:
    """Run it as a program of its own, which imports what the command itself should not."""
    sys.exit(subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode)
