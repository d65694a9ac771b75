"""When rescue reached PostgreSQL: by that it tells a lost worker from a PostgreSQL that was away."""

from datetime import timedelta

from sqlalchemy import Connection, text

GRACE = timedelta(seconds=10)
"""After PostgreSQL was away, workers have this long to renew their leases and finish, before rescue takes any back."""

_NOTE = text("""
INSERT INTO rescue_rounds AS before (latest_at) VALUES (now())
ON CONFLICT (one) DO UPDATE SET
    latest_at = now(),
    steady_since = CASE
        WHEN :away OR before.latest_at < now() - :gap OR pg_postmaster_start_time() > before.latest_at THEN now()
        ELSE before.steady_since
    END
""")


def note(connection: Connection, *, gap: timedelta, away: bool) -> None:
    """Note that rescue has reached PostgreSQL.

    PostgreSQL was away if it has started since the note before, if that is longer ago than `gap`, or if rescue says so.
    """
    connection.execute(_NOTE, {"gap": gap, "away": away})
