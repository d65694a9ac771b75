"""The command reference: the help of every command of `millrace`."""

import click

from cli.main import main

INTRODUCTION = """# Commands

`make up` and `make .venv/dev` install `millrace` as `.venv/bin/millrace`. A container has the commands of its program
as modules: `python -m cli.keys` is `millrace keys`.
"""


def page() -> str:
    """Return the page, one section a command."""
    return "\n".join([INTRODUCTION, *_sections(main, click.Context(main, info_name="millrace", terminal_width=100))])


def _sections(command: click.Command, context: click.Context) -> list[str]:
    shown = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    made = [f"## {context.command_path}\n\n```text\n{shown}\n```\n"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if (below := command.get_command(context, name)) and not below.hidden:
                made += _sections(below, click.Context(below, context, info_name=name, terminal_width=100))
    return made
