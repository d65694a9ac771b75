"""The connections of those who break Postgres and watch: what a fault sets at the server is for the programs only."""

from psycopg2.errors import DeadlockDetected
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError
from tenacity import retry, retry_if_exception, stop_after_attempt

from store.engine import connect

OWN = ("statement_timeout = 0", "default_transaction_read_only = off")
"""Settings of a role come before those of the server, which a reload takes back a moment late."""


def connect_unaffected(url: str) -> Engine:
    """Open Postgres by a role for which no fault changes a setting."""
    engine = connect(url)
    for setting in OWN:
        execute(engine, f"ALTER ROLE CURRENT_USER SET {setting}")
    engine.dispose()  # whoever logs in from now on has them
    return engine


def _is_victim(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and isinstance(error.orig, DeadlockDetected)


@retry(retry=retry_if_exception(_is_victim), stop=stop_after_attempt(20), reraise=True)
def execute(engine: Engine, statement: str) -> None:
    """Execute a statement that is a transaction by itself, and again when Postgres ends it for a deadlock.

    REINDEX locks a table and then one index after the other, so it deadlocks with a transaction that holds one of them
    and waits for another. It mostly begins to wait first, so Postgres mostly ends REINDEX.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
