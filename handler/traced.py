"""What is put around all requests where it is asked for: a trace of each, and for developers a profile of one."""

from collections.abc import Callable

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telemetry import tracing

log = structlog.get_logger(__name__)

PROFILE = "x-profile"


class Traced:
    """An ASGI middleware that opens the span of each request."""

    def __init__(self, app: ASGIApp, *, template: Callable[[str], str]) -> None:
        self._app = app
        self._template = template

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Request(scope).headers
        with tracing.request(scope["method"], self._template(scope["path"]), headers) as span:

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await self._app(scope, receive, noting)


class Profiled:
    """An ASGI middleware that answers a request which has the header X-Profile with where its time went, as HTML.

    For development: whoever can connect can make it slow, and reads our source.
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

        self._busy = True  # it follows one at a time
        try:
            with Profiler(interval=0.0001, async_mode="enabled") as profiler:
                await self._app(scope, receive, drop)
        finally:
            self._busy = False
        await HTMLResponse(profiler.output_html())(scope, receive, send)
