"""Answers the requests that come by the thousand without FastAPI's layers, which cost more than all of our own work.

The same functions answer them there, where OpenAPI describes them: whatever is not an exact match, a prefix in front
of the path or a method that is not taken, goes that way.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from handler import problems
from handler.identity import identify
from handler.services import Services

Answer = Callable[[Request, Services, str | None], Awaitable[Response]]
"""Takes the request, what the handler has, and the client."""

TASK = "/task/"


class FastLane:
    """An ASGI middleware."""

    def __init__(
        self, app: ASGIApp, *, exact: Mapping[tuple[str, str], Answer], task: Callable[..., Awaitable[Response]]
    ) -> None:
        """Answer `exact` (method, path), and GET /task/<id> by `task`; leave the rest to `app`."""
        self._app = app
        self._exact = exact
        self._task = task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        given: dict[str, Any] = {}
        answer: Callable[..., Awaitable[Response]] | None = self._exact.get((method, path))
        if answer is None and method == "GET" and path.startswith(TASK) and len(path) == len(TASK) + 36:
            try:
                given["task_id"] = UUID(path[len(TASK) :])
            except ValueError:
                pass  # FastAPI says what is wrong with it
            else:
                answer = self._task
        if answer is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        services: Services = request.app.state.services
        try:
            client = await identify(request, services)
            response = await answer(request=request, services=services, client=client, **given)
        except Exception as error:
            response = problems.answer(request, error)
        await response(scope, receive, send)
