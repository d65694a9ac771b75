"""`millrace psql`: a prompt on the running platform's database."""

import os
import shutil
import sys

import click
from sqlalchemy import make_url

from cli import embedded, local


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the database; ARGUMENTS go to psql, for example -c 'SELECT …'."""
    address = local.database_url()
    if address is None:
        sys.exit("millrace psql: no database; run `make up` in another terminal, or set DATABASE_URL")
    url = make_url(address)
    program = str(embedded.psql()) if embedded.psql().exists() else shutil.which("psql")
    if program is None:
        sys.exit("millrace psql: psql is not installed")
    environment = {**os.environ, "PGPASSWORD": url.password or ""}  # not on the command line, where others see it
    plain = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    os.execve(program, [program, plain, *arguments], environment)  # noqa: S606 - becomes psql, keeps the terminal
