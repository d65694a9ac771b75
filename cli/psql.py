"""`millrace psql`: a prompt on the running platform's database."""

import os
import shutil
import sys

import click

from cli.database import database_url
from devstack import embedded
from store import address
from store.address import UnusableUrl


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the database; ARGUMENTS go to psql, for example -c 'SELECT …'."""
    try:
        where = address.parse(database_url("psql"))
    except UnusableUrl as error:
        sys.exit(f"millrace psql: DATABASE_URL: {error}")
    program = str(embedded.psql()) if embedded.psql().exists() else shutil.which("psql")
    if program is None:
        sys.exit("millrace psql: psql is not installed")
    environment = {**os.environ, "PGPASSWORD": where.password or ""}  # not on the command line, where others see it
    os.execve(program, [program, where.without_password, *arguments], environment)  # noqa: S606 - becomes psql, keeps the terminal
