"""A TCP proxy on loopback that can be told to fail as networks do."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")

CHUNK = 2**16
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """Passes connections on to a port of this host, with an event loop in a thread of its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._delay = 0.0
        self._silent: set[asyncio.Transport] = set()
        self._transports: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy to {target}", daemon=True)
        self._thread.start()
        self._server = self._call(self._listen(0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def reset(self) -> None:
        """Break every connection with a RST; new ones are welcome."""
        self._call(self._abort())

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Close every connection and refuse new ones."""
        self._call(self._cut())
        try:
            yield
        finally:
            self._server = self._call(self._listen(self.port))

    def silence(self) -> None:
        """Swallow what comes on the connections of this moment, and leave them open; new ones are served."""
        self._call(self._silence())

    @contextmanager
    def delay(self, seconds: float) -> Iterator[None]:
        """Hold whatever arrives for so long, in each direction."""
        self._delay = seconds
        try:
            yield
        finally:
            self._delay = 0.0

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def _cut(self) -> None:
        # A server that is closed forgets whom it has just let in, and nobody could end them: let in nobody first.
        for listening in self._server.sockets:
            self._loop.remove_reader(listening)
        await asyncio.sleep(0.01)  # whoever was let in is among the transports then
        self._server.close()
        await self._abort()
        await self._server.wait_closed()

    async def _end(self) -> None:
        await self._cut()
        while len(asyncio.all_tasks()) > 1:  # who was let in just before takes some turns to be among the transports
            await self._abort()
            await asyncio.sleep(0.01)

    async def _silence(self) -> None:
        self._silent |= self._transports

    async def _abort(self) -> None:
        broken = set(self._transports)
        for transport in broken:
            end: socket.socket = transport.get_extra_info("socket")
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            transport.abort()
        while broken & self._transports:  # noqa: ASYNC110 - several connections end, each by itself
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer.transport}
        self._transports |= ends
        try:
            there, thither = await asyncio.open_connection("127.0.0.1", self._target)
            ends.add(thither.transport)
            self._transports |= ends
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._pass(reader, thither))
                directions.create_task(self._pass(there, writer))
        except* OSError:
            pass
        finally:
            for transport in ends:
                transport.abort()
            self._transports -= ends
            self._silent -= ends

    async def _pass(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK):
            if self._delay:
                await asyncio.sleep(self._delay)
            if to.transport not in self._silent:
                to.write(data)
                await to.drain()
        raise ConnectionResetError("this end has closed: so shall the other")
