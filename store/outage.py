"""Tells an outage of PostgreSQL from a fault of the program: the one place that knows which error is which.

An outage ends without a change to the program: somebody starts a server, mends a password, ends a lock. Whatever is not
listed here is a fault: a wrong statement, a missing file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Dialect, Engine, ExceptionContext
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from store.address import UnusableUrl

UNREACHABLE = "The database cannot be reached"
BUSY = "All connections to the database are in use"
NO_SCHEMA = "The database's schema does not fit this release: its migrations have not run"

NO_TRANSACTION = "25P01"
"""A connection that reports it is of no more use. asyncpg takes a transaction whose BEGIN has failed for begun, and
makes each later one a savepoint in it, for ever (as in https://github.com/PrefectHQ/prefect/issues/14728)."""

_WORDS = {
    "08": "The connection to the database broke",
    "25006": "The database is a read-only standby",
    NO_TRANSACTION: "The connection to the database broke",
    "26000": "The database has forgotten a prepared statement, as a pooler between can cause",
    "28": "The database refuses this service's log-in",
    "3D000": "The database does not exist",
    "3F000": NO_SCHEMA,
    "40": "The database ended a transaction that was in another's way",
    "42501": "The database denies this service a right that it needs",
    "42703": NO_SCHEMA,
    "42P01": NO_SCHEMA,
    "53100": "The database's disk is full",
    "53300": "The database has no connection left",
    "53": "The database is short of memory or disk",
    "55P03": "Somebody holds a lock in the database",
    "55": "The database takes no connections at present",
    "57014": "The database cancelled a statement that took too long",
    "57": "The database is starting or stopping",
    "58": "The database's server has trouble with its files",
}
"""By SQLSTATE, or the class that it begins with (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""


def reason(error: BaseException) -> str | None:
    """Return in what way PostgreSQL cannot serve now; None when the error is no outage."""
    if isinstance(error, PoolTimeout):
        return BUSY
    if isinstance(error, UnusableUrl):
        return "This service's connection to its database is not configured as it needs"
    if not isinstance(error, DBAPIError):
        return None
    state = sqlstate(error)
    if state is not None:
        return _WORDS.get(state) or _WORDS.get(state[:2])
    # Drivers give no state where no server has answered; of these, asyncpg's InterfaceError is a misuse of an open one.
    away = isinstance(error, OperationalError) or (isinstance(error, InterfaceError) and error.connection_invalidated)
    return UNREACHABLE if away or error.connection_invalidated else None


_TRANSIENT = {"40001", "40P01", "55P03", "57014"}
"""Deadlock, serialization, a lock that was not given in time, a statement that took too long."""


def is_transient(error: DBAPIError) -> bool:
    """Return whether this befell one statement, while PostgreSQL serves others."""
    return sqlstate(error) in _TRANSIENT


def sqlstate(error: DBAPIError) -> str | None:
    """Return the error's SQLSTATE, which asyncpg and psycopg2 call by different names."""
    return getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)


def wrap_socket_errors(engine: Engine) -> None:
    """Let errors of asyncpg's sockets leave the engine as OperationalError, as psycopg2's do.

    As bare OSError and TimeoutError nobody could tell them from a missing file's.
    """
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "handle_error", _name)


@contextmanager
def translated(dialect: Dialect) -> Iterator[None]:
    """Let errors of a statement that is given to asyncpg itself leave as SQLAlchemy's, with their SQLSTATE."""
    dbapi: Any = dialect.loaded_dbapi
    asyncpg = dbapi.asyncpg
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise dbapi.OperationalError(_words(error), error) from error


def _connect(dialect: Any, _: Any, arguments: Any, named: Any) -> Any:
    try:
        return dialect.connect(*arguments, **named)
    except OSError as error:
        raise dialect.loaded_dbapi.OperationalError(_words(error), error) from error


def _name(context: ExceptionContext) -> BaseException | None:
    error = context.original_exception
    if getattr(error, "sqlstate", None) == NO_TRANSACTION:
        context.is_disconnect, context.invalidate_pool_on_disconnect = True, False
    if not isinstance(error, OSError):
        return None
    return OperationalError(None, None, error, hide_parameters=True)


def _words(error: Exception) -> str:
    return str(error) or "no answer in time"
