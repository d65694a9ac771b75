"""A connection whose heads are bounded: uvicorn itself waits for ever for a head, and keeps all of it.

`uvicorn --http handler.connection:Connection`. A head that comes in one piece, as nearly all do, costs no timer.
"""

import asyncio
from asyncio import Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 65_536
"""Bytes of a request's line and headers, give or take what is read at once; proxies allow 32 kB or less."""

PATIENCE = 15.0
"""Seconds for a head to come, from the connection or its first byte on."""


class Connection(HttpToolsProtocol):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = False
        self._between = True  # two requests
        self._begun = 0
        self._head = 0
        self._late: Any = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(Joining(transport))  # type: ignore[arg-type]
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        between, self._begun = self._between, 0
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            if self._begun == 0 or (self._begun == 1 and between):  # else it begins with another request, or its body
                self._head += len(data)
            if self._head > MAX_HEAD:
                self.send_400_response(f"The head of the request is over {MAX_HEAD} bytes.")
            elif self._late is None:
                self._wait()
        elif self._late is None and self._is_idle() and not self.transport.is_closing():
            self._wait()  # what came begins no head, and has ended the time of keep-alive all the same

    def on_message_begin(self) -> None:
        self._in_head = True
        self._between = False
        self._begun += 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head = 0
        self._forget_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._between = True
        super().on_message_complete()

    def _wait(self) -> None:
        self._late = self.loop.call_later(PATIENCE, self._give_up)

    def _give_up(self) -> None:
        if self._is_idle():
            self.transport.close()
        else:
            self._wait()  # the request before this one is still being answered

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _forget_timer(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Joining:
    """A transport that sends what is written at one turn of the event loop, head and body, as one packet."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._written: list[bytes] = []
        self._soon = asyncio.get_running_loop().call_soon

    def write(self, data: bytes) -> None:
        if not self._written:
            self._soon(self._send)
        self._written.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send(self) -> None:
        if self._written:
            self._transport.write(b"".join(self._written))
            self._written.clear()
