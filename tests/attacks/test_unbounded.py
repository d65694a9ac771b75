"""Bytes without an end, wherever in a request they stand: the connection ends, and the memory stays as it was."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, product, repeat

import psutil  # type: ignore[import-untyped]
import pytest

from tests.attacks.raw import BODY, post
from tests.attacks.test_http import LENGTH
from tests.running import Platform

MB = 2**20
SENT = 48 * MB
CHUNKED = b"Transfer-Encoding: chunked"
ONE = b"%x\r\n%s\r\n" % (len(BODY), BODY)
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c"
UNREAD = b"GET /heartbeat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"

ENDLESS = {
    "empty lines before a head": (b"", b"\r\n"),
    "empty lines between requests": (b"GET /heartbeat HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n"),
    "a method": (b"", b"A"),
    "a target": (b"GET /", b"a"),
    "a query": (b"GET /tasks?", b"a=b&"),
    "one header's name": (b"GET / HTTP/1.1\r\n", b"a"),
    "one header": (b"GET / HTTP/1.1\r\nX-Long: ", b"a"),
    "headers": (b"GET / HTTP/1.1\r\n", b"a:b\r\n"),
    "one header upon an upgrade": (b"GET / HTTP/1.1\r\n" + UPGRADE + b"\r\nX-Long: ", b"a"),
    "trailers": (post(CHUNKED, body=ONE + b"0\r\n"), b"a:b\r\n"),
    "trailers upon an upgrade": (post(CHUNKED, UPGRADE, body=ONE + b"0\r\n"), b"a:b\r\n"),
    "trailers that nobody reads": (UNREAD, b"a:b\r\n"),
    "one trailer's name": (post(CHUNKED, body=ONE + b"0\r\n"), b"a"),
    "one trailer": (post(CHUNKED, body=ONE + b"0\r\na:"), b"b"),
    "a chunk's size": (post(CHUNKED, body=b""), b"0"),
    "a chunk's extension": (post(CHUNKED, body=b"1;"), b"a"),
    "a chunk's extensions": (post(CHUNKED, body=b"1"), b";a=b"),
    "an extension of the last chunk": (post(CHUNKED, body=ONE + b"0;"), b"a"),
    "answers of a server": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "what is no HTTP": (post(LENGTH), b"\0"),
}


def endless(start: bytes, piece: bytes) -> Iterator[bytes]:
    return chain([start], repeat(piece * max(1, 65_536 // len(piece)), SENT // 65_536))


CHUNK = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
LATE = {
    "a body in chunks": (post(CHUNKED, body=b""), CHUNK),
    "a body in chunks, to be closed": (post(CHUNKED, b"Connection: close", body=b""), CHUNK),
}
"""Too large, and refused; what still comes of it is read for a while, so that its client can read that."""


@pytest.mark.parametrize(("kind", "auth"), [*product(ENDLESS, ["platform", "closed"]), *product(LATE, ["platform"])])
def test_what_has_no_end_ends_its_connection_and_takes_no_memory(
    request: pytest.FixtureRequest, kind: str, auth: str
) -> None:
    """On a handler that asks nobody for a key, and on one whose client has none."""
    asked: Platform = request.getfixturevalue(auth)
    memory = psutil.Process(asked.handler.pid).memory_info
    before = largest = memory().rss
    with (
        socket.create_connection(("127.0.0.1", asked.port), timeout=90) as connection,
        suppress(ConnectionError),  # what was still being sent is not read; a timeout is no such error
    ):
        for part in endless(*(ENDLESS | LATE)[kind]):
            connection.sendall(part)
            largest = max(largest, memory().rss)
        while connection.recv(65536):
            pass
    assert largest < before + 24 * MB, f"{(largest - before) // MB} MiB more"
