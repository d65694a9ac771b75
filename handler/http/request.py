"""The head of a request, which is checked before anything in it is used.

It must have one host, one framing, and each single-valued header once: a proxy in front may read an ambiguous head in
another way than the handler, and take one request for two.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.types import Receive, Scope

from handler.auth.caller import Caller
from handler.problems import ProblemKind, RequestRefused

MAX_HEADERS = 100
"""As Apache, Gunicorn and hyper allow."""

SINGLE = (
    *(b"host", b"content-length", b"transfer-encoding", b"content-type", b"content-encoding", b"authorization"),
    *(b"origin", b"idempotency-key", b"inference-header-content-length"),
)
"""Headers of which the handler reads one, while a proxy may read the other."""


def improper(detail: str) -> RequestRefused:
    """Return the error for a head that can be read in more ways than one."""
    return RequestRefused(ProblemKind.IMPROPER_HTTP, detail)


def check_head(headers: Sequence[tuple[bytes, bytes]], version: Callable[[], str]) -> None:
    """Check the headers of a request, whose names are in lower case. Raises RequestRefused.

    The parser has refused two lengths, or a length and chunks, before.
    """
    first = dict(headers)
    if len(headers) > MAX_HEADERS:
        raise improper(f"The request has {len(headers)} headers; send at most {MAX_HEADERS}.")
    if len(first) < len(headers):
        times = Counter(name for name, _ in headers)
        for name in SINGLE:
            if times[name] > 1:
                raise improper(f"The header {_titled(name)} is repeated {times[name]} times; send it once.")
    if b"host" not in first and version() != "1.0":
        raise improper("The header Host is missing; send the name or address of this server.")
    coding = first.get(b"transfer-encoding")
    if coding is not None:
        if coding.strip().lower() != b"chunked":
            raise improper("Transfer-Encoding must be exactly chunked; or leave it out and send Content-Length.")
        if version() == "1.0":
            raise improper("HTTP/1.0 has no Transfer-Encoding; send Content-Length, or use HTTP/1.1.")


def path_and_query(method: bytes, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the path and query of a request target. Raises RequestRefused.

    A target with a scheme and a host must name the host of the Host header, as only that one is looked at.
    """
    if method == b"CONNECT":
        raise improper("CONNECT is not supported, as this server is not a proxy.")
    if b"#" in url:
        raise improper("The request target has a fragment (#…); leave it out.")
    if url.startswith(b"/") or (url == b"*" and method == b"OPTIONS"):
        return url
    scheme, separator, rest = url.partition(b"://")
    cut = min((place for place in (rest.find(b"/"), rest.find(b"?")) if place >= 0), default=len(rest))
    host = dict(headers).get(b"host", rest[:cut])
    if not separator or scheme.lower() not in (b"http", b"https") or rest[:cut].lower() != host.lower():
        raise improper("The request target must be a path, or an http URL with the same host as the header Host.")
    return rest[cut:] if rest[cut : cut + 1] == b"/" else b"/" + rest[cut:]


def _titled(name: bytes) -> str:
    return name.decode().title()


class ApiRequest(Request):
    """Starlette's request with an index of its headers, through all of which Starlette looks for each that is read."""

    caller: Caller
    """Who sends it; set before its operation answers, except for public operations."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self.index: dict[bytes, bytes] = dict(scope["headers"])
        """The headers by their names in lower case; of a repeated one, the last."""

    def header(self, name: bytes) -> str | None:
        value = self.index.get(name)
        return None if value is None else value.decode("latin-1")
