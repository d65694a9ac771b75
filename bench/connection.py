"""An HTTP/1.1 connection that is kept open, on httptools: the generator shares its cores with what it measures.

CPU a request, measured side by side against a bare ASGI echo, 32 connections: httptools 17 µs, pyreqwest 41,
aiohttp 74, niquests 527, httpx 1,920. It needs neither redirects nor TLS nor cookies.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools

IDLE_SECONDS = 4.0
"""A connection that was idle for longer is not used again: uvicorn closes it after 5 s, maybe just when we write."""


class HttpAnswer(NamedTuple):
    status: int
    """The HTTP status; 0 when there was no answer."""
    body: bytes
    """The answer's body, or why there was none."""


class WrongUrl(Exception):
    """The bench speaks plain HTTP to one host."""


@dataclass(frozen=True)
class LoadTarget:
    """Where requests go, and the headers that each of them carries."""

    host: str
    port: int
    headers: bytes

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str] | None = None) -> "LoadTarget":
        """Raises WrongUrl."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
            raise WrongUrl(f"{url!r} is not like http://host:port")
        given = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        return cls(parts.hostname, parts.port or 80, f"host: {parts.netloc}\r\n{given}".encode())

    def post(self, path: str, body: bytes) -> bytes:
        """Return the bytes of a request."""
        head = f"POST {path} HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        return head.encode() + self.headers + b"\r\n" + body

    def get(self, path: str, headers: str = "") -> bytes:
        return f"GET {path} HTTP/1.1\r\n{headers}".encode() + self.headers + b"\r\n"


class LoadConnection(asyncio.Protocol):
    """One request at a time. Opens itself at the first one; once it is no longer usable, take another."""

    def __init__(self, target: LoadTarget) -> None:
        self._target = target
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[HttpAnswer] | None = None
        self._used = 0.0

    async def ask(self, request: bytes, within: float) -> HttpAnswer:
        """Send a request and return its answer; status 0 when there is none within so many seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        if self._transport is None:
            try:
                async with asyncio.timeout_at(until):
                    await loop.create_connection(lambda: self, self._target.host, self._target.port)
            except (OSError, TimeoutError) as error:
                return HttpAnswer(0, f"connect: {type(error).__name__}".encode())
        self._body = bytearray()
        self._parser = httptools.HttpResponseParser(self)
        self._waiting = loop.create_future()
        # A timer of its own is cheaper than asyncio.timeout, which wakes the task by cancelling it.
        timer = loop.call_at(until, self._give_up)
        cast(asyncio.Transport, self._transport).write(request)  # connection_made has set it
        try:
            return await self._waiting
        finally:
            timer.cancel()
            self._used = loop.time()

    @property
    def usable(self) -> bool:
        if self._transport is None or self._transport.is_closing():
            return False
        return asyncio.get_running_loop().time() - self._used < IDLE_SECONDS

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def _give_up(self) -> None:
        self._end(HttpAnswer(0, b"timeout"))
        self.close()  # a late answer would be taken for the next one's

    def _end(self, answer: HttpAnswer) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is no child of asyncio's

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end(HttpAnswer(0, b"not HTTP"))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end(HttpAnswer(0, b"connection lost"))

    # What httptools calls

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._end(HttpAnswer(self._parser.get_status_code(), bytes(self._body)))
        if not self._parser.should_keep_alive():
            self.close()
