"""Requests to the servers of remote models: to checked addresses only, bounded in time and size, and repeated.

A name is resolved once, all its addresses are checked, and the connection goes to one of exactly these, so that no
second look-up can answer differently (DNS rebinding). No redirect is followed, and no proxy of the environment used.
"""

import json
import random
import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import certifi
import httpcore

from serving.addresses import is_public
from serving.contract import ModelAway

TIMEOUT = 30.0
"""Seconds for an answer, within the model's time limit."""

ATTEMPTS = 4
PAUSE = 0.5
"""Seconds before the second attempt; twice as long before each further one."""

MAX_RESPONSE = 2**28
"""Bytes."""

AGAIN = frozenset({429, 502, 503, 504})


class RemoteFailed(Exception):
    """The server refuses, or answers with what is no answer."""


class RemoteAway(RemoteFailed, ModelAway):
    """The server cannot be reached, or is overloaded."""


class _CheckedNetwork(httpcore.SyncBackend):
    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = {entry[4][0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved") from error
        if not self._allow_private and not all(is_public(ip_address(address)) for address in found):
            raise RemoteFailed(
                f"{host} has an address that is not public; REMOTE_MODELS_ALLOW_PRIVATE=true allows it to this platform"
            )
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in sorted(map(str, found), key=lambda address: ":" in address):
            try:
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class RemoteServer:
    def __init__(self, url: str, key: str | None, *, allow_private: bool) -> None:
        """`url` is a model's, as in the Open Inference Protocol: https://host/v2/models/<name>."""
        trust = ssl.create_default_context()  # the system's certificates and SSL_CERT_FILE,
        trust.load_verify_locations(certifi.where())  # and Mozilla's where the system has none
        self._url = url.rstrip("/")
        self._headers = {"User-Agent": "Millrace", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust, keepalive_expiry=5, network_backend=_CheckedNetwork(allow_private=allow_private)
        )

    def metadata(self) -> dict[str, Any]:
        """Return what the server says of the model. Raises RemoteFailed."""
        return self._ask("GET", self._url, None)

    def infer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the server's answer to an inference request. Raises RemoteFailed."""
        return self._ask("POST", f"{self._url}/infer", json.dumps(body, allow_nan=False).encode())

    def _ask(self, method: str, url: str, body: bytes | None) -> dict[str, Any]:
        """Ask, and again where the server is away or overloaded: the same inputs give the same outputs."""
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE * 2 ** (attempt - 1) * random.uniform(0.8, 1.2))  # noqa: S311
            try:
                status, content = self._once(method, url, body)
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
                reason = f"{type(error).__name__}: {error}"
                continue
            if status == 200:
                return _parsed(content)
            reason = f"it answered {status}: {content[:200].decode('utf-8', 'replace')}"
            if status not in AGAIN:
                raise RemoteFailed(f"{url}: {reason}")
        raise RemoteAway(f"{url}: {reason}")

    def _once(self, method: str, url: str, body: bytes | None) -> tuple[int, bytes]:
        headers: dict[bytes | str, bytes | str] = dict(self._headers.items())
        if body is not None:
            headers["Content-Type"] = "application/json"
        timeout = {"connect": 5.0, "read": TIMEOUT, "write": TIMEOUT, "pool": TIMEOUT}
        with self._pool.stream(method, url, headers=headers, content=body, extensions={"timeout": timeout}) as response:
            content = bytearray()
            for part in response.iter_stream():
                content += part
                if len(content) > MAX_RESPONSE:
                    raise RemoteFailed(f"{url}: it answered with more than {MAX_RESPONSE:,} bytes")
            return response.status, bytes(content)

    def close(self) -> None:
        with suppress(httpcore.NetworkError):
            self._pool.close()


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RemoteFailed("it answered with what is no JSON object")
    return found
