"""`millrace keys`: who may use the API. In containers, which lack the rest of this room: `python -m cli.keys`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click
from psycopg2.errors import InsufficientPrivilege  # type: ignore[import-untyped]
from sqlalchemy import Connection
from sqlalchemy.exc import ArgumentError, DBAPIError

from cli import local
from store import keys as store
from store.engine import connect


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.argument("client")
def create(client: str) -> None:
    """Make a key for CLIENT and print it, this once. A client with several keys sees the same tasks with each."""
    with _database() as connection:
        try:
            key = store.create(connection, client)
        except store.WrongClientName as error:
            raise click.UsageError(str(error)) from None
    click.echo(key)  # alone on standard output, for: KEY=$(millrace keys create …)
    click.echo(
        f"This is the key of {client}: keep it now, it is not stored. Send it as Authorization: Bearer …", err=True
    )


@keys.command("list")
def list_keys() -> None:
    """List every key by its id."""
    with _database() as connection:
        rows = store.page(connection)
    head = ("id", "client", "created", "last used", "revoked")
    table = [head, *([row.id, row.client, *map(_minute, row[2:])] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        click.echo("  ".join(map(str.ljust, line, widths)).rstrip())
    click.echo(f"{len(rows)} {'key' if len(rows) == 1 else 'keys'}; times are in UTC", err=True)


@keys.command()
@click.argument("key_id", metavar="ID")
def revoke(key_id: str) -> None:
    """Revoke the key with this ID (or give the key itself). Handlers forget it within seconds."""
    with _database() as connection:
        client = store.revoke(connection, store.id_in(key_id) or key_id)
    if client is None:
        sys.exit("millrace keys: there is no key with this id that is in force")
    click.echo(f"A key of {client} is revoked.", err=True)


@contextmanager
def _database() -> Iterator[Connection]:
    """Commit at the end of the block; turn what is in the way into one line."""
    address = local.database_url()
    if address is None:
        sys.exit("millrace keys: no database; run `make up` in another terminal, or set DATABASE_URL")
    try:
        engine = connect(address, pool_size=1)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()
    except ArgumentError:
        sys.exit("millrace keys: DATABASE_URL is not like postgresql://user:password@host:port/database")
    except DBAPIError as error:
        if isinstance(error.orig, InsufficientPrivilege):
            sys.exit("millrace keys: this is for the owner of the database; set MIGRATIONS_DATABASE_URL")
        sys.exit(f"millrace keys: {str(error.orig).partition(chr(10))[0]}")


def _minute(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}" if time else "-"


if __name__ == "__main__":
    keys()
