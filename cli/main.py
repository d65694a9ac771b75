"""The `millrace` command's composition root."""

import click

from cli.psql import psql
from cli.sql import sql
from cli.up import up


@click.group()
@click.version_option(package_name="millrace")
def main() -> None:
    """Asynchronous task-queue inference: batches in over HTTP, scores out in typed SQL columns."""


main.add_command(up)
main.add_command(psql)
main.add_command(sql)
