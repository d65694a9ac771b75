"""Opens the connections for deliveries, to checked addresses only. Nothing else in webhooks opens one.

It resolves a name once, checks all its addresses and connects to one of exactly these, so no second look-up can answer
differently (DNS rebinding). TLS is verified against the name, as always.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, ip_address
from typing import Any

import httpcore

from serving.addresses import IpAddress, is_public

CONNECT_TIMEOUT = 3.0
"""Seconds for one address."""

MAX_ADDRESSES = 3
RESOLVERS = 32
"""Threads that resolve names. Nothing can interrupt them, and a name server may be silent for long."""

Resolve = Callable[[str, int], Awaitable[list[IpAddress]]]


class AddressRefused(httpcore.ConnectError):
    """The host has a private, loopback, link-local or other non-public address."""


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    def __init__(
        self,
        *,
        allow_private: bool,
        resolve: Resolve | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")
        self._resolve = resolve or self._ask_resolver
        self._network = network or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers. Raises AddressRefused if any of them is not public."""
        addresses = await self._resolve(host, port)
        if not self._allow_private and not all(map(is_public, addresses)):
            raise AddressRefused(f"{host} has an address that is not public")
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        # IPv4 first: many containers have IPv6 addresses without a route to the internet.
        for address in sorted(addresses, key=lambda address: not isinstance(address, IPv4Address))[:MAX_ADDRESSES]:
            try:
                return await self._network.connect_tcp(str(address), port, CONNECT_TIMEOUT)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _ask_resolver(self, host: str, port: int) -> list[IpAddress]:
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved") from error
        return list(dict.fromkeys(ip_address(address[0]) for *_, address in found))
