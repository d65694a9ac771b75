"""`millrace up`: the whole platform on this machine, in the foreground, until Ctrl-C."""

import sys
import traceback

import click
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from devstack import causes, local
from devstack.errors import CannotStart
from devstack.settings import UpSettings
from devstack.stack import Stack
from telemetry.settings_errors import sentences


@click.command()
def up() -> None:
    """Run everything on this machine until Ctrl-C."""
    console = Console(highlight=False)
    try:
        settings = UpSettings()
    except ValidationError as error:
        for sentence in sentences(error):
            console.print(f"millrace up: {sentence}", markup=False, soft_wrap=True)
        sys.exit(2)
    try:
        Stack(settings, console).run()
    except CannotStart as error:
        _refuse(console, str(error))
    except OSError as error:
        _refuse(console, str(causes.of_system(error)))
    except Exception as error:
        log = local.FOLDER / "logs" / "up.log"
        log.write_text(traceback.format_exc(), encoding="utf-8")
        _refuse(console, f"unexpected {type(error).__name__}: {error}\nThe traceback is in {log}")


def _refuse(console: Console, why: str) -> None:
    console.print(f"[red]millrace up:[/red] {escape(why)}", soft_wrap=True)
    sys.exit(1)
