"""`millrace migration`: writes the migration that a new model, or a changed one, needs."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from alembic import command
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from cli.database import database, database_url
from devstack import causes, embedded, local
from migrations.revisions import ROOM, config, upgrade

FOLDER = ROOM / "versions"


@click.command()
@click.argument("name")
def migration(name: str) -> None:
    """Write the migration that makes the tables as the specs say: millrace migration iris. `make up` applies it."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,29}", name):
        raise click.BadParameter("use small letters, digits and _, as in iris", param_hint="NAME")
    if (FOLDER / f"{name}_tables.py").exists():
        raise click.BadParameter(f"there is a migration {name} already; choose another name", param_hint="NAME")
    try:
        with _owner() as url:
            command.revision(config(url), message="tables", rev_id=name, autogenerate=True)
    except CommandError as error:
        sys.exit(f"millrace migration: {causes.of_schema(error)}")


@contextmanager
def _owner() -> Iterator[str]:
    """Yield the URL of the database's owner.

    Where no `make up` runs, start its PostgreSQL meanwhile: make up refuses a spec without its migration.
    """
    if local.database_url() is not None:
        with database("migration") as engine, engine.connect():
            pass  # says in a sentence why there is none
        yield database_url("migration")
        return
    try:
        server = embedded.start_postgres(local.FOLDER / "postgres")
    except (embedded.AlreadyRunning, embedded.StartFailed) as error:
        sys.exit(f"millrace migration: {error}")
    try:
        upgrade(server.url)
        yield server.url
    except DBAPIError as error:
        sys.exit(f"millrace migration: {causes.of_database(error, None)}")
    finally:
        server.stop()
