"""Refuses the pages of other sites with AUTH=off: they run in browsers that can reach the handler.

A page whose name resolves to the handler (DNS rebinding) could read its responses; the Host header shows it. A page
that posts a form across sites reads nothing, but its tasks would be scored; the Origin header shows it. Before a page
may send JSON across sites, the browser asks the server (CORS).
"""

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from handler.problems import ProblemKind, RequestRefused

_HOST = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(?::[0-9]*)?")
_SHOWN = 100  # characters of an unknown name

_LONGEST = 300  # bytes of a Host header that is remembered; a DNS name has at most 253

KNOWN = 1024
"""So many Host headers are remembered; others are checked each time."""


class SameOrigin:
    """Checks the Host and Origin headers of every request."""

    def __init__(self, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._names = {"localhost", *(host for host in hosts if not host.startswith("*."))}
        self._endings = (".localhost", *(host[1:] for host in hosts if host.startswith("*.")))
        self._origins = set(origins)
        self.known: set[bytes] = set()
        """Host headers that are allowed. A request with one of them and no Origin needs no check."""

    def check(self, method: str, headers: Mapping[bytes, bytes]) -> None:
        """Raise RequestRefused for a request that was meant for another host, or comes from another site's page."""
        host, origin = headers.get(b"host"), headers.get(b"origin")
        if host is not None and host not in self.known:
            self._check_host(host)
        if origin is not None and method == "POST":
            self._check_origin(origin.decode("latin-1"), host or b"")

    def _check_host(self, host: bytes) -> None:
        """Remember a host that is allowed. Addresses are: a page loaded from an address belongs to that server."""
        given = host.decode("latin-1").lower()
        parts = _HOST.fullmatch(given)
        name = parts[1].removesuffix(".") if parts else ""
        if name in self._names or name.endswith(self._endings) or _is_address(name):
            if len(self.known) < KNOWN and len(host) <= _LONGEST:
                self.known.add(host)
            return
        detail = (
            f"The Host header is {given[:_SHOWN]!r}. With AUTH=off the handler serves only localhost, IP addresses and "
            "the names in ALLOWED_HOSTS; add the name there if it is one of this handler."
        )
        raise RequestRefused(ProblemKind.UNKNOWN_HOST, detail)

    def _check_origin(self, origin: str, host: bytes) -> None:
        if origin.partition("://")[2] == host.decode("latin-1") or origin in self._origins:
            return
        detail = (
            f"The Origin header is {origin[:_SHOWN]!r}. With AUTH=off pages of other origins may not POST; add the "
            "origin to CORS_ORIGINS if its scripts may use the API."
        )
        raise RequestRefused(ProblemKind.FOREIGN_ORIGIN, detail)


def refuse_other_sites(headers: Mapping[bytes, bytes]) -> None:
    """Raise RequestRefused for a change that a page of the console did not send, whatever AUTH says.

    Browsers add Sec-Fetch-Site where the address is https or localhost, and Origin to every POST; no script can set
    either. A request with neither comes from no browser of today.
    """
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    host = headers.get(b"host", b"").lower()
    own = origin is not None and origin.lower().partition(b"://")[2] == host
    if (site == b"same-origin" and (origin is None or own)) or (site is None and own):
        return
    detail = "The change did not come from a page of this console. Open the console and do it there, or use the API."
    raise RequestRefused(ProblemKind.OTHER_SITE, detail)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
