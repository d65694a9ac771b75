"""Closes a connection on which a request still comes so that its client can read the response that it got early.

A close with bytes unread makes the kernel send a reset, upon which the client's kernel drops the response, and the
client sees a broken connection (RFC 9112, 9.6). nginx does the same as here:
https://nginx.org/en/docs/http/ngx_http_core_module.html#lingering_close.
"""

import asyncio

MAX_BYTES = 64 * 2**20
"""Bytes that are read and dropped at most; eight times what a body may have."""

MAX_SECONDS = 30.0

SILENCE = 5.0
"""Seconds without a byte after which the client is taken to be done: nginx's lingering_timeout."""


class Lingering:
    """Ends what is written, and drops what comes, until the client hangs up or a bound is reached."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """Begin. The transport's protocol gives `drop` the size of all that arrives, and calls `stop` at its end."""
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._left = MAX_BYTES
        self._end = self._loop.time() + MAX_SECONDS
        self._has_received = True
        transport.write_eof()  # once the response is sent
        if not transport.is_reading():
            transport.resume_reading()
        self._look()

    def drop(self, n_bytes: int) -> None:
        self._has_received = True
        self._left -= n_bytes
        if self._left < 0:
            self._transport.close()

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        left = self._end - self._loop.time()
        if not self._has_received or left <= 0:
            self._transport.close()
            return
        self._has_received = False
        self._timer = self._loop.call_later(min(SILENCE, left), self._look)
