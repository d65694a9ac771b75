"""`millrace bench`: load schedules, runs and comparisons. They live in bench/, which has requirements of its own."""

import importlib
import sys

import click


class _Bench(click.Group):
    """Looks its commands up in bench/ when they are asked for: nobody else pays for matplotlib."""

    def list_commands(self, context: click.Context) -> list[str]:
        return self._there().list_commands(context)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return self._there().get_command(context, name)

    def _there(self) -> click.Group:
        try:
            commands: click.Group = importlib.import_module("bench.commands").bench
        except ModuleNotFoundError as missing:
            sys.exit(f"millrace bench: {missing.name} is missing; `make .venv/bench` installs what the bench needs")
        return commands


@click.group(cls=_Bench)
def bench() -> None:
    """Put a load on a platform, and see how it bears it."""
