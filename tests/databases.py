"""What PostgreSQL says of a session that either driver has opened by a DATABASE_URL."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from store.engine import connect, connect_async

_SEEN = text("""
    SELECT current_setting('application_name'), current_setting('statement_timeout'),
        current_setting('idle_in_transaction_session_timeout'), inet_client_addr() IS NULL,
        current_setting('port')::int,
        (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()),
        (SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid())
""")


@dataclass(frozen=True)
class Seen:
    application: str
    statement_timeout: str
    idle_timeout: str
    by_socket: bool
    port: int
    tls: bool
    client: str | None


def by_psycopg2(url: str) -> Seen:
    engine = connect(url, pool_size=1)
    try:
        with engine.connect() as connection:
            return Seen(*connection.execute(_SEEN).one())
    finally:
        engine.dispose()


def by_asyncpg(url: str) -> Seen:
    async def ask() -> Seen:
        engine = connect_async(url, pool_size=1)
        try:
            async with engine.connect() as connection:
                return Seen(*(await connection.execute(_SEEN)).one())
        finally:
            await engine.dispose()

    return asyncio.run(ask())


Ask = Callable[[str], Seen]
each_driver = pytest.mark.parametrize("ask", [by_psycopg2, by_asyncpg])
