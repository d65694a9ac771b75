"""The `millrace` command: the client's commands, and those that other packages plug in."""

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from millrace_client import VERSION, settings
from millrace_client.cli import exits
from millrace_client.cli.completion import completion
from millrace_client.cli.encoding import print_anything
from millrace_client.cli.jobs import jobs
from millrace_client.cli.models import models
from millrace_client.cli.outcomes import outcomes
from millrace_client.cli.submit import submit
from millrace_client.cli.tasks import task, tasks

PLUGINS = "millrace.commands"


class Commands(click.Group):
    """Finds plugged-in commands when they are asked for.

    One with a name of ours takes its place, or joins its group, unless an address says which server is meant: the
    platform's own commands look into its database.
    """

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*super().list_commands(context), *_plugged()})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        own = super().get_command(context, name)
        plugged = _plugged().get(name)
        if plugged is None or (own is not None and not isinstance(own, click.Group) and _is_remote(context)):
            return own
        found: click.Command = plugged.load()
        if isinstance(own, click.Group) and isinstance(found, click.Group):
            last = own if _is_remote(context) else found
            return click.Group(found.name, {**own.commands, **found.commands, **last.commands}, help=found.help)
        return found

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command, whatever the terminal can show, and tell errors in a sentence and by the exit code."""
        print_anything()
        with exits.told():
            if not options.get("standalone_mode", True):
                return super().main(*arguments, **options)
            code = super().main(*arguments, **{**options, "standalone_mode": False})
            sys.exit(code if isinstance(code, int) else 0)


def _is_remote(context: click.Context) -> bool:
    return settings.names_server(context.params.get("url"), context.params.get("profile"))


def _plugged() -> dict[str, EntryPoint]:
    return {one.name: one for one in entry_points(group=PLUGINS)}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="millrace")
@click.option("--url", metavar="URL", help="The server. Default: MILLRACE_URL, the profile, or http://127.0.0.1:8081.")
@click.option("--profile", metavar="NAME", help="A profile of ~/.config/millrace/config.toml.")
@click.pass_context
def main(context: click.Context, url: str | None, profile: str | None) -> None:
    """Asynchronous task-queue inference: batches in over HTTP, scores out in typed SQL columns.

    The API key comes from MILLRACE_API_KEY or the profile. Exit codes: 0 done, 1 error, 2 usage, 3 done with rejected
    rows, 4 not authorized, 5 deadline passed, 130 interrupted.
    """
    context.obj = {"url": url, "profile": profile}


for one in (submit, task, tasks, jobs, models, outcomes, completion):
    main.add_command(one)

if __name__ == "__main__":
    sys.exit(main())
