"""Which callback URLs are allowed. What their hosts resolve to is checked at each delivery, since it changes."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from serving.addresses import is_public, literal

MAX_LENGTH = 2048


class UrlRefused(ValueError):
    """The callback URL is not allowed; the message says why."""


class Target(NamedTuple):
    """Where a delivery goes."""

    scheme: str
    netloc: str
    host: str
    port: int | None
    path: str


def target(url: str, *, allow_private: bool) -> Target:
    """Parse a callback URL, without using the network. Raises UrlRefused."""
    if len(url) > MAX_LENGTH:
        raise UrlRefused(f"A callback URL must have at most {MAX_LENGTH} characters")
    if not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        raise UrlRefused(
            "A callback URL must have no spaces, control characters or backslashes; "
            "write a space as %20, in a query as %2520"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UrlRefused("This is not a URL") from None
    if parts.scheme not in (("https", "http") if allow_private else ("https",)):
        raise UrlRefused("A callback URL must start with https://")
    if "@" in parts.netloc or "#" in url:
        raise UrlRefused("A callback URL must have no user, password or fragment")
    if not host or port == 0 or not re.fullmatch(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]", _bracketed(host)):
        raise UrlRefused("A callback URL must name a host")
    if not allow_private and _is_private(host):
        raise UrlRefused("A callback URL must name a host on the public internet")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, parts.netloc, host, port, path)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_private(host: str) -> bool:
    address = literal(host)
    if address is not None:
        return not is_public(address)
    return re.fullmatch(r"(.*\.)?localhost\.?", host) is not None
