"""An HTTP connection that bounds every byte, in time and in number, and grants no upgrade.

`uvicorn --http handler.connection:Connection`. uvicorn itself waits for a head for ever, keeps all of it and every
trailer, and lets httptools stop at `Upgrade: h2c`, which the JDK's HttpClient sends: the body is lost, or read as a
second request (https://github.com/Kludex/uvicorn/issues/2722, https://github.com/MagicStack/httptools/issues/124). So
this class extends uvicorn's protocol, which is no public interface. docs/decisions/0011-the-http-server.md compares
other servers.
"""

import asyncio
from asyncio import Transport
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from handler.answer.tasks import DISCONNECT, Disconnect
from handler.http.problem_responses import MEDIA_TYPE, problem
from handler.http.request import check_head, improper, path_and_query
from handler.lingering import Lingering
from handler.problems import ProblemKind, RequestRefused

MAX_HEAD = 65_536
"""Bytes of a request's line and headers, of a body's trailers and chunk lines, and of empty lines before a head, give
or take what is received at once. Proxies allow 32 kB or less."""

CHUNK_LINE = 16
"""Bytes of a chunk's line that are not counted: its size, and the ends of the line."""

HEAD_TIMEOUT = 15.0
"""Seconds for a head to arrive, from the connection or its first byte on."""

KEEP_ALIVE = "keep_alive_seconds"
"""The key in the application's state of the keep-alive timeout. Without it, uvicorn's --timeout-keep-alive counts."""

PIPELINED = 64
"""Requests of one connection that may wait for the response to an earlier one. Each takes some 5 kB."""

_MALFORMED = "The request is not valid HTTP/1.1: its head, or the framing of its body, is malformed."
_FRAMING = (b"content-length", b"transfer-encoding")


class _DroppedHeaders(list[tuple[bytes, bytes]]):
    def append(self, header: tuple[bytes, bytes]) -> None:
        """Drop a trailer, which the parser takes for a header."""


_TRAILERS = _DroppedHeaders()


class Connection(HttpToolsProtocol):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ws_protocol_class = None
        self.timeout_keep_alive = self.app_state.get(KEEP_ALIVE, self.timeout_keep_alive)
        self._disconnect = Disconnect()
        self._in_head = False
        self._unframed = 0  # bytes since the end of the last head or body that belong to no body
        self._head_timer: Any = None
        self._parser_stopped = False  # at a request to upgrade
        self._resuming = False  # while a new parser gets a head that repeats how the body is framed
        self._refusal: str | None = None
        self._stopping = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        self._buffered = BufferedTransport(transport, self._is_answered_early)
        super().connection_made(self._buffered)  # type: ignore[arg-type]
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        if self._buffered.lingering is not None:
            self._buffered.lingering.stop()
        super().connection_lost(exc)
        self._disconnect.happen()

    def shutdown(self) -> None:
        self._stopping = True  # which no lingering may hold up
        if self.transport.is_closing():
            self.transport.close()
        else:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        if self._buffered.lingering is not None:
            self._buffered.lingering.drop(len(data))
            return
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        self._unframed += len(data)
        if self._refusal is None:
            self._feed(data)
        self._unframed = max(self._unframed, 0)
        if self.transport.is_closing():
            return
        if self._unframed > MAX_HEAD:
            if self._refusal is not None:
                self.transport.abort()
                return
            self._refuse(f"More than {MAX_HEAD} bytes belong to no body; send fewer headers or larger chunks.")
        elif self._head_timer is None and (self._in_head or self._is_idle()):
            self._start_head_timer()  # these bytes have stopped the keep-alive timer, and start no head

    def _feed(self, data: bytes | memoryview) -> None:
        try:
            while len(data):
                try:
                    self.parser.feed_data(data)
                    return
                except httptools.HttpParserUpgrade as upgrade:
                    self._resume()
                    data = memoryview(data)[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            known = isinstance(error.__context__, RequestRefused)  # raised in a callback of the parser's
            self._refuse(str(error.__context__) if known else _MALFORMED)

    def _resume(self) -> None:
        """Continue behind a head that asks for an upgrade as if it had not (RFC 9110, 7.8)."""
        self.parser, self._parser_stopped, self._resuming = httptools.HttpRequestParser(self), False, True
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        framing = [name + b":" + value for name, value in self.scope["headers"] if name in _FRAMING]
        self.parser.feed_data(b"\r\n".join((b"POST / HTTP/1.1", *framing, b"", b"")))

    def on_message_begin(self) -> None:
        if not self._resuming:
            self._in_head = True
            super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._resuming:
            self._resuming = False
            return
        self._in_head = False
        self._unframed = 0
        self._stop_head_timer()
        check_head(self.headers, self.parser.get_http_version)
        if not self.url.startswith(b"/") or b"#" in self.url:
            self.url = path_and_query(self.parser.get_method(), self.url, self.headers)
        if len(self.pipeline) >= PIPELINED:
            raise improper(f"More than {PIPELINED} pipelined requests are waiting; wait for the responses.")
        self._parser_stopped = self.parser.should_upgrade()
        DISCONNECT.set(self._disconnect)
        super().on_headers_complete()
        self.headers = _TRAILERS
        if self.pipeline:
            self.flow.resume_reading()  # otherwise nobody would notice that the client hangs up

    def on_chunk_complete(self) -> None:
        self._unframed -= CHUNK_LINE

    def on_body(self, body: bytes) -> None:
        self._unframed -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._parser_stopped:
            self._unframed = 0
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._refusal is not None and self._is_idle() and not self.transport.is_closing():
            self.send_400_response(self._refusal)

    def _refuse(self, detail: str) -> None:
        """Answer 400 and close, after the responses to earlier requests."""
        self._refusal = detail
        if self._is_idle():
            self.send_400_response(detail)
        elif self.cycle.more_body:  # the error is in its body, so it gets no other response
            if self.pipeline or self.cycle.response_started:
                self.transport.close()
            else:
                self.send_400_response(detail)

    def send_400_response(self, msg: str) -> None:
        body = msgspec.json.encode(problem(ProblemKind.IMPROPER_HTTP, msg))
        status = ProblemKind.IMPROPER_HTTP.status
        head = (
            b"HTTP/1.1 %d " % status + HTTPStatus(status).phrase.encode(),
            *(name + b": " + value for name, value in self.server_state.default_headers),
            b"content-type: " + MEDIA_TYPE.encode(),
            b"content-length: %d" % len(body),
            b"connection: close",
        )
        self.transport.write(b"\r\n".join((*head, b"", body)))
        self.transport.close()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT, self._give_up)

    def _give_up(self) -> None:
        if self._is_idle():
            self.transport.close()
        else:
            self._start_head_timer()  # an earlier request is still being answered

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _is_answered_early(self) -> bool:
        """Return whether all is answered while the client may still be sending."""
        may_send = self._refusal is not None or (self.cycle is not None and self.cycle.more_body)
        return may_send and self._is_idle() and not self._stopping

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class BufferedTransport:
    """A transport that sends what is written in one turn of the event loop, head and body, as one packet."""

    def __init__(self, transport: Transport, is_answered_early: Callable[[], bool]) -> None:
        self._transport = transport
        self._is_answered_early = is_answered_early
        self.lingering: Lingering | None = None
        self._written: list[bytes] = []
        self._soon = asyncio.get_running_loop().call_soon

    def write(self, data: bytes) -> None:
        if not self._written:
            self._soon(self._send)
        self._written.append(data)

    def close(self) -> None:
        """Close; where the client may still be sending, linger first. Lingering, close at once."""
        self._send()
        if self.is_closing() or not self._is_answered_early() or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self.lingering = Lingering(self._transport)

    def is_closing(self) -> bool:
        return self.lingering is not None or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send(self) -> None:
        if self._written and not self._transport.is_closing():  # a client that has hung up hears nothing
            self._transport.write(b"".join(self._written))
        self._written.clear()
