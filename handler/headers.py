"""The headers that every answer carries: no browser is to guess its type, keep it, frame it, or run what is in it."""

import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NOSNIFF = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")
_NOTHING = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")

ANSWER = [_NOSNIFF, _NO_STORE, _NOTHING]
"""What the fast lane appends to its answers."""

STATIC = [_NOSNIFF, (b"cache-control", b"public, max-age=3600"), _NOTHING]
STATICS = "/swagger/"
DOCS = "/docs"

_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.S)

ACROSS: dict[str, Any] = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": ["Authorization", "Content-Type", "Idempotency-Key", "Prefer"],
    "expose_headers": [
        *("Location", "Retry-After", "Idempotency-Replayed", "Preference-Applied", "WWW-Authenticate"),
        *("RateLimit", "RateLimit-Policy"),
    ],
    "max_age": 600,
}
"""What scripts of the origins in CORS_ORIGINS may send and read. Keys are no cookies: nothing is sent unasked."""


class Headers:
    """An ASGI middleware that appends them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        sending = _docs(send) if path == DOCS else _appending(send, STATIC if path.startswith(STATICS) else ANSWER)
        await self._app(scope, receive, sending)


def _appending(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return sending


def _docs(send: Send) -> Send:
    """Let the page run its own script, known by its hash, and load the rest from here; it comes in one piece."""
    begun: list[Message] = []

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            begun.append(message)
            return
        for start in begun:
            start["headers"] = [*start["headers"], _NOSNIFF, _NO_STORE, _policy(message.get("body", b""))]
            await send(start)
        begun.clear()
        await send(message)

    return sending


def _policy(page: bytes) -> tuple[bytes, bytes]:
    hashes = (b"'sha256-" + b64encode(sha256(script).digest()) + b"'" for script in _SCRIPT.findall(page))
    scripts = b" ".join((b"'self'", *hashes))
    return _NOTHING[0], (
        b"default-src 'none'; script-src " + scripts + b"; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def across_origins(app: ASGIApp, origins: list[str]) -> ASGIApp:
    """Let scripts of these origins use the API; without any, none of another origin can."""
    return CORSMiddleware(app, allow_origins=origins, **ACROSS) if origins else app
