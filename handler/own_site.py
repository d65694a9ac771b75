"""Keeps other sites out of a handler that asks nobody for a key: their pages run in browsers that can reach it.

A page whose name was made to lead here (DNS rebinding) may read what it asks for, and is known by its Host header. One
that posts a form across sites reads nothing, but its tasks would be scored; it is known by its Origin header. What
comes as JSON is asked about beforehand by browsers themselves.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from fastapi import FastAPI, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from handler import access, headers, problems
from handler.openapi import documented, documented_errors
from handler.problems import PROTOCOL, Refused

_HOST = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(?::[0-9]*)?")
_SHOWN = 100  # characters of a name that we do not know

KNOWN = 1024
"""So many Host headers are remembered; the others are looked at each time."""


class OwnSite:
    """An ASGI middleware that answers what was meant for another host, or comes from another site's page."""

    def __init__(self, app: ASGIApp, handler: FastAPI, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._app = app
        self._handler = handler
        self._names = {"localhost", *(host for host in hosts if not host.startswith("*."))}
        self._endings = (".localhost", *(host[1:] for host in hosts if host.startswith("*.")))
        self._origins = set(origins)
        self._known: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = origin = None
            for name, value in scope["headers"]:  # half a microsecond, less than a dict of them
                if name == b"host":
                    host = value
                elif name == b"origin":
                    origin = value
            refused = None
            if host is not None and host not in self._known:
                refused = self._unknown(host)
            if origin is not None and refused is None and scope["method"] == "POST":
                refused = self._foreign(origin.decode("latin-1"), host or b"")
            if refused is not None:
                await self._refuse(refused, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _unknown(self, host: bytes) -> Refused | None:
        """Remember a host that is ours. Addresses are: a page that was loaded from one is that server's own."""
        given = host.decode("latin-1").lower()
        parts = _HOST.fullmatch(given)
        name = parts[1].removesuffix(".") if parts else ""
        if name in self._names or name.endswith(self._endings) or _is_address(name):
            if len(self._known) < KNOWN:
                self._known.add(host)
            return None
        detail = (
            f"The Host header says {given[:_SHOWN]!r}, and with AUTH=off only localhost, addresses and the names in "
            "ALLOWED_HOSTS are served. If that is a name of this handler, start it with the name in ALLOWED_HOSTS."
        )
        return Refused(421, "unknown-host", detail)

    def _foreign(self, origin: str, host: bytes) -> Refused | None:
        if origin.partition("://")[2] == host.decode("latin-1") or origin in self._origins:
            return None
        detail = (
            f"The Origin header says {origin[:_SHOWN]!r}, and with AUTH=off pages of other origins may not post. "
            "If its scripts shall use the API, start the handler with it in CORS_ORIGINS."
        )
        return Refused(403, "foreign-origin", detail)

    async def _refuse(self, refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self._handler
        response = problems.answer(Request(scope), refused)
        response.raw_headers += [*headers.ANSWER, access.name(scope["headers"])]
        await response(scope, receive, send)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def describe(app: FastAPI) -> None:
    """Say in the OpenAPI document that each operation may answer 421, and those that post 403."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        for path, operations in document["paths"].items():
            described = documented_errors if path.startswith(PROTOCOL) else documented
            for verb, operation in operations.items():
                refusals = described(421, *([403] if verb == "post" else []))
                operation["responses"] |= {str(status): response for status, response in refusals.items()}
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the document
