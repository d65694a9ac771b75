"""Bounds what a transaction costs others: the time of its statements, its wait for locks, and how many do the same."""

from sqlalchemy import Connection, text

_BOUND = text("SELECT set_config('statement_timeout', :long, true), set_config('lock_timeout', :wait, true)")


def limit_time(connection: Connection, seconds: float) -> None:
    """Let PostgreSQL end each statement of this transaction after so many seconds, and its wait for a lock sooner."""
    milliseconds = max(1, int(seconds * 1000))
    connection.execute(_BOUND, {"long": str(milliseconds), "wait": str(max(1, milliseconds // 4))})


def try_lock(connection: Connection, lock: int) -> bool:
    """Return whether no other program works at this at present; none will until the transaction ends."""
    return bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": lock}))
