"""`millrace keys`: who may use the API. In containers: `python -m cli.keys`."""

import json
import sys
from datetime import UTC, datetime

import click
from millrace_client.cli.encoding import print_anything

from cli.database import database
from store import keys as store


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.argument("client")
@click.option(
    "--role",
    type=click.Choice([role.value for role in store.Role]),
    default=store.Role.SUBMIT.value,
    show_default=True,
    help="What the client may do with this key: docs/how-to/keys.md.",
)
def create(client: str, role: str) -> None:
    """Make a key for CLIENT and print it, this once. Keys of one client with the same role see the same tasks."""
    with database("keys") as engine, engine.begin() as connection:
        try:
            key = store.create(connection, client, store.Role(role))
        except store.WrongClientName as error:
            raise click.UsageError(str(error)) from None
    click.echo(key)  # alone on standard output, for: KEY=$(millrace keys create …)
    click.echo(
        f"This is the key of {client}, with the role {role}: keep it now, it is not stored. "
        "Send it as Authorization: Bearer …",
        err=True,
    )


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object a line.")
def list_keys(as_json: bool) -> None:
    """List every key by its id."""
    with database("keys") as engine, engine.begin() as connection:
        rows = store.page(connection)
    if as_json:
        for row in rows:
            click.echo(json.dumps(row._asdict(), default=str))
        return
    head = ("id", "client", "role", "created", "last used", "revoked")
    table = [head, *([row.id, row.client, row.role, *map(_minute, row[3:])] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        click.echo("  ".join(map(str.ljust, line, widths)).rstrip())
    click.echo(f"{len(rows)} {'key' if len(rows) == 1 else 'keys'}; times are in UTC", err=True)


@keys.command()
@click.argument("key_id", metavar="ID")
def revoke(key_id: str) -> None:
    """Revoke the key with this ID (or give the key itself). Handlers forget it within seconds."""
    with database("keys") as engine, engine.begin() as connection:
        client = store.revoke(connection, store.id_in(key_id) or key_id)
    if client is None:
        sys.exit("millrace keys: there is no key with this id that is in force")
    click.echo(f"A key of {client} is revoked.", err=True)


def _minute(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}" if time else "-"


if __name__ == "__main__":
    print_anything()
    keys()
