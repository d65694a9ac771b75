"""Opens the database of the running platform for a command, or ends the command with a sentence that says why not.

And says who runs it.
"""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2 import errors  # type: ignore[import-untyped]
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from devstack import local
from store.address import UnusableUrl
from store.engine import connect


def database_url(command: str) -> str:
    """Return the URL of the database's owner."""
    found = local.database_url()
    if found is None:
        sys.exit(f"millrace {command}: no database; run `make up` in another terminal, or set DATABASE_URL")
    return found


@contextmanager
def database(command: str) -> Iterator[Engine]:
    """Yield the database. An error of the database ends the command."""
    try:
        engine = connect(database_url(command), pool_size=1)
        try:
            yield engine
        finally:
            engine.dispose()
    except UnusableUrl as error:
        sys.exit(f"millrace {command}: DATABASE_URL: {error}")
    except DBAPIError as error:
        sys.exit(f"millrace {command}: {_explain(error)}")


def login() -> str:
    """Return who runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def _explain(error: DBAPIError) -> str:
    if isinstance(error.orig, errors.InsufficientPrivilege):
        return "this is for the owner of the database; set MIGRATIONS_DATABASE_URL"
    if isinstance(error.orig, errors.UndefinedTable):
        return "the database has no such tables yet; `make up` or `alembic upgrade head` makes them"
    return str(error.orig).partition("\n")[0]
