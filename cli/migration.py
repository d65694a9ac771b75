"""`millrace migration`: writes the migration that a new model, or a changed one, needs."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from alembic import command
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from cli.database import database, database_url
from devstack import causes, embedded, local
from migrations.revisions import ROOM, config, upgrade
from serving import catalogue

FOLDER = ROOM / "versions"

PLATFORM = "platform"
"""How the name of a migration begins that is of no model: of store/tables.py."""


@click.command()
@click.argument("name")
def migration(name: str) -> None:
    """Write the migration that makes the tables as the specs say: millrace migration iris. `make up` applies it.

    NAME is a model's, alone or with what changes: iris, iris_petals. For store/tables.py it is platform_ and what
    changes. Where no table differs, nothing is written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,29}", name):
        raise click.BadParameter("use small letters, digits and _, as in iris", param_hint="NAME")
    _check_model(name)

    def keep(_: Any, __: Any, written: list[Any]) -> None:
        if written[0].upgrade_ops.is_empty():
            written.clear()
        elif (FOLDER / f"{name}_tables.py").exists():
            raise click.BadParameter(
                f"there is a migration {name} already; choose another name, as in {name}_2", param_hint="NAME"
            )

    try:
        with _owner() as url:
            made = command.revision(
                config(url), message="tables", rev_id=name, autogenerate=True, process_revision_directives=keep
            )
    except CommandError as error:
        sys.exit(f"millrace migration: {causes.of_schema(error)}")
    if not made:
        click.echo("nothing to migrate: the migrations make every table as the specs describe it")


def _check_model(name: str) -> None:
    """End the command unless the migration's name begins with that of a model whose spec can be read."""
    models = catalogue.folders()
    named = [one for one in (*models, PLATFORM) if name == one or name.startswith(f"{one}_")]
    if not named:
        sys.exit(f"millrace migration: there is no model {name!r}; the models are {', '.join(models)}")
    model = max(named, key=len)
    if why := catalogue.refused().get(model):
        sys.exit(f"millrace migration: models/{model}/spec.py cannot be read: {why}")


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
