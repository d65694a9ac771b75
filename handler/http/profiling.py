"""A profile of one request, for developers, where PROFILER=on."""

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

PROFILE = "x-profile"


class ProfilingMiddleware:
    """Answers a request with the header X-Profile with a report, in HTML, of where its time went.

    For development only: every client can slow the handler down with it, and reads its source.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._busy = False
        log.warning("profiler_on", meaning=f"requests with the header {PROFILE} are answered with a profile")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or PROFILE not in Request(scope).headers or self._busy:
            await self._app(scope, receive, send)
            return
        from pyinstrument import Profiler  # not in the images

        async def drop(_: Message) -> None:
            pass

        self._busy = True  # the profiler follows one request at a time
        try:
            with Profiler(interval=0.0001, async_mode="enabled") as profiler:
                await self._app(scope, receive, drop)
        finally:
            self._busy = False
        await HTMLResponse(profiler.output_html())(scope, receive, send)
