"""What stands in the way of `millrace up`, in one sentence: the setting or the place first, then the remedy."""

import errno
import os
from pathlib import Path

import redis
from alembic.util import CommandError
from psycopg2 import errors  # type: ignore[import-untyped]
from sqlalchemy import Connection, MetaData, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from broker.address import UnusableRedis, explain
from devstack import local
from devstack.embedded import NAME
from devstack.errors import CannotStart
from serving import catalogue
from store.predictions import predictions_table
from store.schema import lacking
from store.tables import APP


def of_database(error: DBAPIError | ArgumentError, setting: str | None) -> CannotStart:
    """Explain an error of the database that this setting names, or, where none does, of the embedded one."""
    said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0].rstrip(".:")
    if isinstance(getattr(error, "orig", None), errors.NotNullViolation):
        return CannotStart(
            f"a migration was refused: {said}. What was scored has no value for a new field: make the field optional "
            "in its spec (`| None = None`), delete the migration's file and write it anew"
        )
    if setting is None:
        return CannotStart(f"the embedded PostgreSQL refused: {said}. Its log: {local.FOLDER / 'postgres' / 'log'}")
    return _of_server(setting, "a database", "PostgreSQL", said)


def of_redis(error: redis.RedisError | UnusableRedis, setting: str) -> CannotStart:
    """Explain an error of the Redis that this setting names."""
    return _of_server(setting, "a Redis", "Valkey", explain(error).rstrip("."))


def _of_server(setting: str, what: str, embedded: str, said: str) -> CannotStart:
    if _is_embedded(os.environ[setting]):
        return CannotStart(
            f"{setting} in your shell is the address of make up's own {embedded}, which starts only where {setting} is "
            f"not set: unset {setting}, then make up again ({said})"
        )
    return CannotStart(
        f"{setting} names {what} that cannot be used: {said}. Correct {setting}, or unset it to use the {embedded} "
        "that make up starts"
    )


def of_schema(error: CommandError) -> CannotStart:
    """Explain what Alembic refuses."""
    said = str(error)
    if said.startswith("Multiple head"):
        said = "several migrations are the newest; join them with `.venv/bin/alembic merge heads`, then make up again"
    if said.startswith("Target database is not up to date"):
        said = "a migration that was written before has not been applied; make up again, which applies it"
    return CannotStart(f"the schema cannot be brought up to date: {said}")


def of_specs(connection: Connection) -> CannotStart | None:
    """Explain what the database lacks of the tables that the models' specs describe; None where all is there."""
    for name, spec in catalogue.specs().items():
        columns = lacking(connection, predictions_table(spec.table, spec.stored_columns, MetaData()))
        if columns:
            return CannotStart(
                f"models/{name}/spec.py describes what no migration makes: {', '.join(columns)} in the table "
                f"{spec.table}. Write the migration with `.venv/bin/millrace migration NAME`, then make up again"
            )
    return None


def of_system(error: OSError) -> CannotStart:
    """Explain what the operating system refused."""
    place = Path(str(error.filename)) if error.filename else local.FOLDER
    if error.errno == errno.ENOSPC:
        return CannotStart(
            f"no space is left on the disk of {place}: free some, or set MILLRACE_FOLDER to another disk"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return CannotStart(
            f"{place} cannot be written or read by this user ({error.strerror}): change its owner "
            f'(sudo chown -R "$USER" {local.FOLDER}), or set MILLRACE_FOLDER to a folder of yours'
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return CannotStart(f"{place} is no folder: remove it, or set MILLRACE_FOLDER to another place")
    return CannotStart(f"{place}: {error.strerror or error}")


def _is_embedded(url: str) -> bool:
    """Return whether this is the address of a server that `make up` has started in this folder."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        return False
    server = "postgres" if address.drivername.startswith("postgres") else "valkey"
    try:
        port = (local.FOLDER / server / "port").read_text()
    except OSError:
        return False
    ours = server == "valkey" or address.username in (NAME, APP)
    return ours and address.host in ("127.0.0.1", "localhost") and str(address.port) == port
