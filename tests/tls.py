"""Ends TLS in front of a server that is built without it: the clients' side is real."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import trustme

from tests.running import free_port


@contextmanager
def ending_tls(certificate: trustme.LeafCert, port: int) -> Iterator[int]:
    """Accept TLS and pass what is in it on to the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    taken, loop = free_port(), asyncio.new_event_loop()
    ends: list[asyncio.StreamWriter] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(writer)
        inner = await asyncio.open_connection("127.0.0.1", port)
        ends.append(inner[1])
        await asyncio.gather(copy(reader, inner[1]), copy(inner[0], writer))

    server = loop.run_until_complete(asyncio.start_server(connected, "127.0.0.1", taken, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield taken
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(_end(ends))
        loop.close()


async def _end(ends: list[asyncio.StreamWriter]) -> None:
    """Break the connections: one that is closed in order waits for the other side's farewell."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        end.transport.abort()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
