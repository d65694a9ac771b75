"""Speaks to a server byte by byte, as no HTTP library would."""

import json
import re
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress

from tests.running import REPORT

BODY = json.dumps([REPORT]).encode()


def told(port: int, requests: Mapping[str, bytes], patience: float = 0.5) -> dict[str, bytes]:
    """Send each of these on a connection of its own, all at once, and return what came back within the time."""
    heard = dict.fromkeys(requests, b"")
    with ExitStack() as opened:
        connections = {name: opened.enter_context(socket.create_connection(("127.0.0.1", port))) for name in requests}
        for name, connection in connections.items():
            connection.settimeout(patience)
            with suppress(TimeoutError, ConnectionError):  # it may be refused before all of it is sent
                connection.sendall(requests[name])
        time.sleep(patience)
        for name, connection in connections.items():
            connection.setblocking(False)
            with suppress(BlockingIOError, ConnectionError):
                while part := connection.recv(65536):
                    heard[name] += part
    return heard


LAST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""Sent behind other requests: its answer says that they were read to their end, and then the connection closes."""


def answered(port: int, *pieces: bytes, apart: float = 0.1, patience: float = 60) -> list[int]:
    """Send these pieces on one connection, and return the statuses of all that comes until it is closed."""
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection, suppress(ConnectionError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, piece in enumerate(pieces):
            time.sleep(apart if number else 0)
            connection.sendall(piece)
        while part := connection.recv(65536):
            heard += part
    return statuses(heard)


def statuses(heard: bytes) -> list[int]:
    """Return the status of each answer in what was heard."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", heard)]


def post(*headers: bytes, body: bytes = BODY, path: bytes = b"/submit") -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: localhost", b"Content-Type: application/json", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
