"""PostgreSQL ends a session between two statements: that is an outage, and the pool opens another connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from store import outage
from store.engine import connect_async, single

READY = b"Z\x00\x00\x00\x05I"
"""PostgreSQL's message that it waits for a statement, outside of a transaction."""

_ENDED = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
ENDED = b"E" + (4 + len(_ENDED)).to_bytes(4) + _ENDED
"""What PostgreSQL writes to a session that an administrator ends."""


class Relay:
    """Passes connections on to PostgreSQL, and ends one of them after so many `READY`: the first follows the log-in."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._end_next: tuple[int, bool] | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(asyncio.create_task(self._serve(reader, writer)))

    async def finish(self) -> None:
        await asyncio.gather(*self._connections)

    def end_next(self, after: int, *, silently: bool) -> None:
        """Let the next connection end: close it at its next statement, or tell that it ends and leave it open."""
        self._end_next = after, silently

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        after, silently = self._end_next or (0, False)
        self._end_next = None
        ready = 0
        there, thither = await asyncio.open_connection("127.0.0.1", self._port)

        async def answers() -> None:
            nonlocal ready
            while data := await there.read(2**16):
                ready += data.endswith(READY)
                tells = ready == after and data.endswith(READY) and not silently
                writer.write(data + ENDED if tells else data)

        async def statements() -> None:
            while data := await reader.read(2**16):
                if silently and ready == after:
                    return
                thither.write(data)

        passing = {asyncio.create_task(answers()), asyncio.create_task(statements())}
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        for task in passing:
            task.cancel()
        await asyncio.wait(passing)
        for end in (writer, thither):
            end.transport.abort()
            with suppress(OSError):
                await end.wait_closed()


@asynccontextmanager
async def relayed(database_url: str) -> AsyncIterator[tuple[AsyncEngine, Relay]]:
    url = make_url(database_url)
    relay = Relay(url.port or 5432)
    async with await asyncio.start_server(relay.accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        engine = connect_async(url.set(port=port).render_as_string(hide_password=False), pool_size=1)
        try:
            yield engine, relay
        finally:
            await engine.dispose()
            await relay.finish()


async def ask(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT 7"))).scalar_one())


@pytest.mark.parametrize("is_single", [True, False])
@pytest.mark.parametrize(("after", "silently"), [(1, True), (1, False), (2, True), (2, False), (3, True), (3, False)])
async def test_a_session_that_ends_is_an_outage_and_not_used_again(
    database_url: str, after: int, silently: bool, is_single: bool
) -> None:
    async with relayed(database_url) as (engine, relay):
        asked = single(engine) if is_single else engine
        relay.end_next(after, silently=silently)
        with pytest.raises(DBAPIError) as ended:
            await ask(asked)
        assert outage.reason(ended.value) is not None, repr(ended.value)
        assert await ask(asked) == 7
