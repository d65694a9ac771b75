"""Keeps the live part of a page up to date: a stream of server-sent events a tab, or the part alone for who polls.

An event has the part's HTML as one JSON text, and is sent when the part has changed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response, StreamingResponse
from uuid_utils.compat import uuid7

from console.page import HTML, Visit
from console.shared import TICK
from handler.answer.listing import Admission
from handler.http.problem_responses import refusal_of
from handler.problems import ProblemKind, RequestRefused
from store import outage

STREAM = "text/event-stream"
OF_CLIENT, OF_ALL = 50, 200
"""Streams at once, of one client and of all; whoever comes later polls."""

KEEP_ALIVE_SECONDS = 15.0
"""Seconds of silence after which a comment tells proxies that the stream lives."""

SIGNED_OUT, LATE, REFUSED = b"signed-out", b"late", b"refused"
"""Events: the session has ended, or its key has other rights; PostgreSQL does not answer; the part cannot be shown."""

_streams = Admission("live pages", OF_CLIENT, OF_ALL)


@dataclass(frozen=True)
class Part:
    """What a live part of a page shows now."""

    html: str
    ended: bool = False
    """Whether it will never change again."""


Look = Callable[[], Awaitable[Part]]


async def respond(visit: Visit, look: Look, task_id: UUID | None = None) -> Response:
    """Stream a part as it changes, or return it once; the end of this task wakes the stream. Raises RequestRefused."""
    if STREAM not in (visit.request.header(b"accept") or ""):
        return Response((await look()).html, media_type=HTML)
    _streams.check(visit.caller.client)
    return StreamingResponse(_counted(visit, look, task_id or uuid7()), media_type=STREAM)


async def _counted(visit: Visit, look: Look, task_id: UUID) -> AsyncIterator[bytes]:
    with _streams.count(visit.caller.client), visit.services.notifier.subscribe(task_id) as woken:
        async for event in _events(visit, look, woken):
            yield event


async def _events(visit: Visit, look: Look, woken: asyncio.Event) -> AsyncIterator[bytes]:
    shown, said = None, monotonic()
    while not visit.services.notifier.closed:  # else the handler is about to stop; the browser comes back by itself
        woken.clear()
        event, part = await _look(visit, look)
        if event:
            shown, said = None, monotonic()
            yield b"event: %b\ndata: \n\n" % event
        elif part is not None and part.html != shown:
            shown, said = part.html, monotonic()
            yield b"data: " + msgspec.json.encode(part.html) + b"\n\n"
        elif monotonic() - said > KEEP_ALIVE_SECONDS:
            said = monotonic()
            yield b": \n\n"
        if part is not None and part.ended:
            yield b"event: ended\ndata: \n\n"
        if event in (SIGNED_OUT, REFUSED) or (part is not None and part.ended):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK):
                await woken.wait()


async def _look(visit: Visit, look: Look) -> tuple[bytes | None, Part | None]:
    """Return what the part shows now, or the event that tells why it cannot be shown."""
    try:
        if await visit.console.sessions.visitor(visit.request, visit.services) != visit.visitor:
            return SIGNED_OUT, None
        return None, await look()
    except Exception as error:  # the status of the stream was sent long ago
        if _passes(error):
            return LATE, None
        refusal_of(visit.request, error)  # which logs a fault of the program
        return REFUSED, None


def _passes(error: Exception) -> bool:
    """Return whether a stream goes on, since the platform will answer again."""
    if isinstance(error, RequestRefused):
        return error.kind in (ProblemKind.STORE_UNAVAILABLE, ProblemKind.LISTS_BUSY)
    return isinstance(error, SQLAlchemyError) and outage.reason(error) is not None
