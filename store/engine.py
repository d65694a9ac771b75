"""Opens PostgreSQL: psycopg2 for programs that may block, asyncpg for the handler, whose event loop must not."""

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic
from types import MappingProxyType
from typing import Any

import psycopg2.extensions  # type: ignore[import-untyped]
import structlog
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from store import address, outage, pooler
from store.address import CONNECT_TIMEOUT

log = structlog.get_logger(__name__)

STUCK = 75
"""Exit status of a process whose transaction hangs: EX_TEMPFAIL of sysexits.h."""

# When a client's host is gone, or the client frozen in the midst of a transaction, PostgreSQL lets go of its locks.
SESSION = {
    "idle_in_transaction_session_timeout": "30s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

# A plan that is kept must suit what comes: by indexes, though a table is empty when the plan is made. Before PostgreSQL
# 18 a table without another way would look so dear that its statement is compiled.
KEEPS_PLANS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off"}


def connect(
    url: str, *, pool_size: int = 2, ping: bool = True, autocommit: bool = False, keeps_plans: bool = False
) -> Engine:
    """Open PostgreSQL. Without `ping`, the first statement on a connection that has broken meanwhile raises.

    With `autocommit` each statement is a transaction, unless somebody says BEGIN, and the connection may keep plans
    (prepared.py), which is for programs that read by keys alone. Raises UnusableUrl.
    """
    where = address.parse(url)
    engine = create_engine(
        "postgresql+psycopg2://",
        pool_size=pool_size,
        pool_pre_ping=ping,
        isolation_level="AUTOCOMMIT" if autocommit else None,
        hide_parameters=True,  # the log of a failed statement must not show anybody's inputs
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT,
            "application_name": "millrace",
            # A server whose host is gone is noticed within half a minute.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 25_000,  # milliseconds
            **({"connection_factory": _Session, "cursor_factory": _Cursor} if autocommit else {}),
            **where.for_psycopg2,
        },
    )

    @event.listens_for(engine, "connect", insert=True)  # before SQLAlchemy's own statements
    def begin_session(connection: Any, _: Any) -> None:
        connection.autocommit = True
        with _broken_after(connection, CONNECT_TIMEOUT), connection.cursor() as cursor:
            cursor.execute(_begin(connection.info.backend_pid, KEEPS_PLANS if keeps_plans else {}))
            is_pooled = cursor.rowcount == 0
        if is_pooled:
            pooler.check_transactions(connection)
        connection.autocommit = autocommit
        if is_pooled and where.statement_cache is None:
            connection.close()
            raise pooler.unnamed()
        if keeps_plans and not is_pooled:
            connection.plans = {}

    pooler.name_refused_parameters(engine)
    return engine


@contextmanager
def connect_within(engine: Engine, seconds: float) -> Iterator[Connection]:
    """Open a connection that breaks after so many seconds: what waits for its server then raises DBAPIError.

    psycopg2 waits for a silent server as long as the connection seems to live. The engine must not `ping`, which would
    wait before anybody looks at the time.
    """
    with engine.connect() as connection, _broken_after(connection.connection.driver_connection, seconds):
        yield connection
        connection.rollback()  # which the pool would do, without a limit


@contextmanager
def _broken_after(driver: Any, seconds: float) -> Iterator[None]:
    """Break the connection if the block takes so many seconds."""

    def end() -> None:
        with suppress(OSError), socket.socket(fileno=os.dup(driver.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class WatchedEngine:
    """Ends the process when a transaction hangs, so that its supervisor replaces it and rescue brings back its tasks.

    psycopg2 waits for an answer as long as the connection seems to live, and nothing in Python interrupts it. Behind
    a proxy or a firewall that has forgotten the connection, that is for ever.
    """

    def __init__(
        self, url: str, seconds: float, *, pool_size: int = 2, ping: bool = True, keeps_plans: bool = False
    ) -> None:
        """Give every transaction so many seconds."""
        # An engine that changes a connection's level for a single statement pays a round trip for it.
        self._engine = connect(url, pool_size=pool_size, ping=ping, autocommit=True, keeps_plans=keeps_plans)
        event.listen(self._engine, "reset", _end_transaction)
        self.seconds = seconds
        self._begun: dict[object, float] = {}
        threading.Thread(target=self._watch, name="watch transactions", daemon=True).start()

    @contextmanager
    def begin(self, *, single: bool = False) -> Iterator[Connection]:
        """Open a transaction. A `single` statement is one by itself, in one round trip: no BEGIN, no COMMIT."""
        transaction = object()
        self._begun[transaction] = monotonic()
        try:
            with self._engine.connect() as connection:
                driver: Any = connection.connection.driver_connection
                driver.begins = not single
                yield connection
                if driver.info.transaction_status != TRANSACTION_STATUS_IDLE:
                    connection.exec_driver_sql("COMMIT")
        finally:
            del self._begun[transaction]

    def dispose(self) -> None:
        self._engine.dispose()

    def _watch(self) -> None:
        wait = threading.Event().wait
        while not wait(min(1, self.seconds / 4)):
            if any(monotonic() - begun > self.seconds for begun in list(self._begun.values())):
                log.critical("transaction_hangs", seconds=self.seconds, meaning="this process ends, to be replaced")
                os._exit(STUCK)


class _Session(psycopg2.extensions.connection):  # type: ignore[misc]
    begins = False
    """Whether a transaction begins with the next statement."""
    plans: dict[Any, Any] | None = None
    """Of prepared statements (prepared.py). None: a pooler is between, which may take each transaction elsewhere."""


class _Cursor(psycopg2.extensions.cursor):  # type: ignore[misc]
    """Sends BEGIN together with the first statement of a transaction: one round trip less."""

    def execute(self, query: str | bytes, values: Any = None) -> None:
        if self._begins():
            query = b"BEGIN; " + query if isinstance(query, bytes) else f"BEGIN; {query}"
        super().execute(query, values)

    def executemany(self, query: str, values: Any) -> None:
        if self._begins():
            super().execute("BEGIN")
        super().executemany(query, values)

    def copy_expert(self, query: str, *arguments: Any, **options: Any) -> None:
        super().copy_expert(f"BEGIN; {query}" if self._begins() else query, *arguments, **options)

    def _begins(self) -> bool:
        begins: bool = self.connection.begins
        self.connection.begins = False
        return begins


def _end_transaction(connection: Any, *_: Any) -> None:
    """Roll back what an exception has left open. psycopg2 does not: it has begun nothing."""
    connection.begins = False
    if connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")


def connect_async(url: str, *, pool_size: int = 5, timeout: float = 30) -> AsyncEngine:
    """Open PostgreSQL for an event loop; a statement that takes over `timeout` seconds raises OperationalError.

    Raises UnusableUrl.
    """
    where = address.parse(url)
    arguments = where.for_asyncpg
    settings = {"application_name": "millrace", **arguments["server_settings"]}
    engine = create_async_engine(
        "postgresql+asyncpg://",
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,  # the log of a failed statement must not show anybody's inputs
        pool_timeout=CONNECT_TIMEOUT,
        connect_args={**arguments, "command_timeout": timeout, "server_settings": settings},
    )

    @event.listens_for(engine.sync_engine, "connect", insert=True)
    def begin_session(connection: Any, _: Any) -> None:
        driver = connection.driver_connection
        with outage.translated(engine.dialect):  # here SQLAlchemy would let the driver's own errors out
            said = connection.run_async(lambda asyncpgs: asyncpgs.execute(_begin(asyncpgs.get_server_pid())))
            if said == "SELECT 0":
                connection.run_async(pooler.check_transactions_async)
        if said == "SELECT 0" and where.statement_cache is None:
            driver.terminate()
            raise pooler.unnamed()

    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    outage.wrap_socket_errors(engine.sync_engine)
    pooler.name_refused_parameters(engine.sync_engine)
    return engine


def single(engine: AsyncEngine) -> AsyncEngine:
    """Return the same connections for statements that are transactions by themselves: one round trip, not three."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def _begin(pid: int, more: Mapping[str, str] = MappingProxyType({})) -> str:
    """Set up the session, unless a pooler is between: what is set on its connections would stay for other clients.

    A pooler gives a process id of its own, so that it can pass on a request to cancel. Behind one the role has these
    settings (roles.py).
    """
    settings = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in {**SESSION, **more}.items())
    return f"SELECT {settings} WHERE pg_backend_pid() = {pid}"


def _refuse_closed(connection: Any, *_: Any) -> None:
    """Have the pool open another. An event loop hears of a connection's end: asking the server tells no more."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
