"""Answers the requests that come by the thousand outside FastAPI's layers, which cost more than all of our own work.

The same functions answer them there, where OpenAPI describes them: whatever is not an exact match, a prefix in front
of the path or a method that is not taken, goes that way.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from handler import headers, problems
from handler.identity import identify
from handler.services import Services

Answer = Callable[[Request, Services, str | None], Awaitable[Response]]
"""Takes the request, what the handler has, and the client."""

TASK = "/task/"


class Handler(FastAPI):
    """FastAPI with the lane beside it."""

    def open_lane(self, exact: Mapping[tuple[str, str], Answer], task: Callable[..., Awaitable[Response]]) -> None:
        """Answer `exact` (method, path), and GET /task/<id> by `task`; leave the rest to FastAPI."""
        self._exact = exact
        self._task = task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
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
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        request = Request(scope, receive)
        request._headers = _Headers(raw=scope["headers"])
        services: Services = self.state.services
        try:
            client = await identify(request, services)
            response = await answer(request=request, services=services, client=client, **given)
        except Exception as error:
            response = problems.answer(request, error)
        response.raw_headers += headers.ANSWER
        await response(scope, receive, send)


class _Headers(Headers):
    """Starlette's, which looks through all of them for each that is asked for, with an index."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        super().__init__(raw=raw)
        self._first = dict(reversed(raw))

    def get(self, key: str, default: Any = None) -> Any:
        value = self._first.get(key.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")
