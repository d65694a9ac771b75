"""The `millrace` command's composition root."""

from typing import Any

import click

from cli.bench import bench
from cli.encoding import print_anything
from cli.keys import keys
from cli.migration import migration
from cli.models.group import models
from cli.models.train import train
from cli.psql import psql
from cli.redact import redact
from cli.replay import replay
from cli.sql import sql
from cli.status import status
from cli.tasks import task, tasks
from cli.up import up
from cli.webhook_secret import webhook_secret


class _Command(click.Group):
    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command, whatever the terminal can show."""
        print_anything()
        return super().main(*arguments, **options)


@click.group(cls=_Command)
@click.version_option(package_name="millrace")
def main() -> None:
    """Asynchronous task-queue inference: batches in over HTTP, scores out in typed SQL columns."""


main.add_command(bench)
main.add_command(up)
main.add_command(models)
main.add_command(migration)
main.add_command(train)
main.add_command(psql)
main.add_command(replay)
main.add_command(redact)
main.add_command(keys)
main.add_command(sql)
main.add_command(status)
main.add_command(tasks)
main.add_command(task)
main.add_command(webhook_secret)
