"""The command reference: the help of every command of `millrace`."""

import subprocess
import sys

import click
from millrace_client.cli.main import main

from docs.generate import ROOT

INTRODUCTION = """# Commands

`make up` and `make .venv/dev` install `millrace` as `.venv/bin/millrace`. A container has the commands of its program
as modules: `python -m cli.keys` is `millrace keys`.
"""


PROGRAM = "from docs.generate import commands; print(commands.made(), end='')"


def page() -> str:
    """Return the page, made by a program of its own: click keeps the help of a command as it was first asked for."""
    return subprocess.check_output([sys.executable, "-c", PROGRAM], cwd=ROOT, text=True, encoding="utf-8")


def made() -> str:
    """Return the page, one section a command."""
    with main.make_context("millrace", [], resilient_parsing=True, terminal_width=100) as context:
        return "\n".join([INTRODUCTION, *_sections(main, context)])


def _sections(command: click.Command, context: click.Context) -> list[str]:
    shown = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    made = [f"## {context.command_path}\n\n```text\n{shown}\n```\n"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if (below := command.get_command(context, name)) and not below.hidden:
                made += _sections(below, click.Context(below, context, info_name=name, terminal_width=100))
    return made
