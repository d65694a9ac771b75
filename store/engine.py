"""Opens PostgreSQL: psycopg2 for programs that may block, asyncpg for the handler, whose event loop must not."""

from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_TIMEOUT = 5  # seconds; a host that drops packets must not hold a start-up for minutes

# When a client's host is gone, or the client frozen in the midst of a transaction, PostgreSQL lets go of its locks.
SESSION = {
    "idle_in_transaction_session_timeout": "30s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


def sync_url(url: str) -> URL:
    """Name the driver: SQLAlchemy 2.1 reads a bare postgresql:// as psycopg 3."""
    return make_url(url.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+psycopg2")


def connect(url: str, *, pool_size: int = 2, ping: bool = True) -> Engine:
    """Open PostgreSQL. Without `ping`, the first statement on a connection that has broken meanwhile raises."""
    return create_engine(
        sync_url(url),
        pool_size=pool_size,
        pool_pre_ping=ping,
        hide_parameters=True,  # the log of a failed statement must not show anybody's inputs
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT,
            "application_name": "millrace",
            "options": " ".join(f"-c {name}={value}" for name, value in SESSION.items()),
            # A server whose host is gone is noticed within half a minute.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 25_000,  # milliseconds
        },
    )


def connect_async(url: str, *, pool_size: int = 5, timeout: float = 30) -> AsyncEngine:
    """Open PostgreSQL for an event loop; a statement that gets no answer for `timeout` seconds raises TimeoutError."""
    engine = create_async_engine(
        sync_url(url).set(drivername="postgresql+asyncpg"),
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,  # the log of a failed statement must not show anybody's inputs
        pool_timeout=CONNECT_TIMEOUT,
        connect_args={
            "timeout": CONNECT_TIMEOUT,
            "command_timeout": timeout,
            "server_settings": {"application_name": "millrace", **SESSION},
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def single(engine: AsyncEngine) -> AsyncEngine:
    """Return the same connections for statements that are transactions by themselves: one round trip, not three."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def _refuse_closed(connection: Any, *_: Any) -> None:
    """Have the pool open another. An event loop hears of a connection's end: asking the server tells no more."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
