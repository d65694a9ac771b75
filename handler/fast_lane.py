"""Answers the requests that come by the thousand outside FastAPI's layers, which cost more than all of our own work.

The same functions answer them there, where OpenAPI describes them: whatever is not an exact match, a prefix in front
of the path or a method that is not taken, goes that way.
"""

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from handler import access, headers, problems
from handler.identity import identify
from handler.meters import Requests, Route
from handler.services import Services
from telemetry.logs import TASK_ID

Answer = Callable[[Request, Services, str | None], Awaitable[Response]]
"""Takes the request, what the handler has, and the client."""

TASK = "/task/"


class Handler(FastAPI):
    """FastAPI with the lane beside it."""

    def open_lane(
        self, exact: Mapping[tuple[str, str], Answer], task: Callable[..., Awaitable[Response]], requests: Requests
    ) -> None:
        """Answer `exact` (method, path), and GET /task/<id> by `task`; leave the rest to FastAPI."""
        self._exact = {key: (answer, requests.route(*key)) for key, answer in exact.items()}
        self._task = task, requests.route("GET", TASK + "{task_id}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        given: dict[str, Any] = {}
        found: tuple[Callable[..., Awaitable[Response]], Route] | None = self._exact.get((method, path))
        if found is None and method == "GET" and path.startswith(TASK) and len(path) == len(TASK) + 36:
            try:
                given["task_id"] = UUID(path[len(TASK) :])
            except ValueError:
                pass  # FastAPI says what is wrong with it
            else:
                found = self._task
                TASK_ID.set(given["task_id"])
        if found is None:
            await super().__call__(scope, receive, send)
            return
        answer, route = found
        name = access.name(scope["headers"])
        status = 500
        route.in_flight += 1
        start = perf_counter()
        try:
            scope["app"] = self
            request = Request(scope, receive)
            request._headers = _Headers(raw=scope["headers"])
            services: Services = self.state.services
            try:
                client = await identify(request, services)
                response = await answer(request=request, services=services, client=client, **given)
            except Exception as error:
                response = problems.answer(request, error)
            status = response.status_code
            response.raw_headers += headers.ANSWER
            response.raw_headers.append(name)
            await response(scope, receive, send)
        finally:
            route.end(status, perf_counter() - start)


class _Headers(Headers):
    """Starlette's, which looks through all of them for each that is asked for, with an index."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        super().__init__(raw=raw)
        self._first = dict(reversed(raw))

    def get(self, key: str, default: Any = None) -> Any:
        value = self._first.get(key.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")
