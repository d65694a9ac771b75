"""Opens the database of the running platform for a command, or says why that cannot be."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError

from cli import local
from store.engine import connect


@contextmanager
def database(command: str) -> Iterator[Engine]:
    """Yield the database; what goes wrong with it ends the command with a sentence."""
    address = local.database_url()
    if address is None:
        sys.exit(f"millrace {command}: no database; run `make up` in another terminal, or set DATABASE_URL")
    try:
        engine = connect(address, pool_size=1)
    except ArgumentError:
        sys.exit(f"millrace {command}: DATABASE_URL is not like postgresql://user:password@host:port/database")
    try:
        yield engine
    except (OperationalError, ProgrammingError) as error:
        sys.exit(f"millrace {command}: {str(error.orig).partition(chr(10))[0]}")
    finally:
        engine.dispose()
