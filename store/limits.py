"""Bounds what a transaction costs others: the time of its statements, its wait for locks, and how many do the same."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

_BOUND = text("SELECT set_config('statement_timeout', :long, true), set_config('lock_timeout', :wait, true)")


def limit_time(connection: Connection, seconds: float) -> None:
    """Let PostgreSQL end each statement of this transaction after so many seconds, and its wait for a lock sooner."""
    milliseconds = max(1, int(seconds * 1000))
    connection.execute(_BOUND, {"long": str(milliseconds), "wait": str(max(1, milliseconds // 4))})


def try_lock(connection: Connection, lock: int) -> bool:
    """Return whether no other program works at this at present; none will until the transaction ends."""
    return bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": lock}))


@contextmanager
def holding(engine: Engine, lock: int) -> Iterator[bool]:
    """Hold a lock over many transactions, by one of its own that does nothing else; yield whether it was free.

    A lock of the session would not survive a pooler. The transaction sees no rows, so it keeps nothing from vacuum.
    """
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield try_lock(connection, lock)
