"""Opens the client that a command uses."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from millrace_client.client import Client


@contextmanager
def client(context: click.Context, timeout: float = 60) -> Iterator[Client]:
    """Yield a client for the options before the command."""
    given = context.find_root().obj or {}
    with Client(given.get("url"), profile=given.get("profile"), timeout=timeout) as opened:
        yield opened
