"""The way of every request: name it, count it, check who sends it, answer it, and turn errors into problems."""

import re
from bisect import bisect_left
from itertools import count
from secrets import token_hex
from time import perf_counter

import structlog
from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from handler.auth.caller import ANYBODY, role_refused
from handler.http.compression import WORTH, compress
from handler.http.operation import ANY_METHOD, Operation
from handler.http.parameters import refuse_repeated
from handler.http.problem_responses import error_response
from handler.http.request import ApiRequest
from handler.problems import ProblemKind
from handler.services import Services
from telemetry import tracing
from telemetry.logs import REQUEST_ID

log = structlog.get_logger("access")

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds. An answer may be held for up to 60 (`Prefer: wait`)."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_ID_HEADER = b"x-request-id"
_PLAIN_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch
_PREFIX, _NUMBERS = token_hex(6), count(1)


class RouteCounter:
    """Counts the requests to one route by one method, in plain lists: a microsecond each, a fifth of the library's."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.ended: dict[int, list[float]] = {}
        """By status: how many requests fell in each bucket, how many were slower, and last the sum of their seconds."""

    def end(self, status: int, seconds: float) -> None:
        self.in_flight -= 1
        counts = self.ended.get(status)
        if counts is None:
            counts = self.ended[status] = [0] * (len(BUCKETS) + 2)
        counts[bisect_left(BUCKETS, seconds)] += 1
        counts[-1] += seconds


RouteCounters = dict[tuple[str, str], RouteCounter]
"""By method and route. Only the event loop writes them; the thread of the metrics exporter reads."""


class ApiEndpoint:
    """The ASGI application behind one route."""

    def __init__(self, operation: Operation, counters: RouteCounters, *, access_log: bool) -> None:
        self.operation = operation
        self._counters = counters
        self._access_log = access_log
        self._counter = None if operation.method == ANY_METHOD else self._counter_of(operation.method)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = self.operation
        counter = self._counter or self._counter_of(scope["method"])
        request = ApiRequest(scope, receive)
        request_id = _request_id(request.index.get(_ID_HEADER))
        services: Services = scope["state"]["services"]
        status = ProblemKind.INTERNAL_ERROR.status
        counter.in_flight += 1
        start = perf_counter()
        try:
            try:
                site = services.same_origin
                if site is not None and (request.index.get(b"host") not in site.known or b"origin" in request.index):
                    site.check(scope["method"], request.index)
                client = None
                if not operation.public:
                    request.caller = caller = ANYBODY
                    if services.authenticator is not None:
                        request.caller = caller = await services.authenticator.identify(request)
                        if caller.role not in operation.roles:
                            raise role_refused(caller.role, operation.roles)
                    client = caller.client
                    if scope["query_string"]:
                        refuse_repeated(request)
                response = await operation.answer(request, services, client)
            except Exception as error:
                response = error_response(request, error, services.refused)
            if b"accept-encoding" in request.index and len(getattr(response, "body", b"")) >= WORTH:
                await compress(request, response)
            status = response.status_code
            response.raw_headers += operation.headers
            response.raw_headers.append(request_id)
            await response(scope, receive, send)
        finally:
            seconds = perf_counter() - start
            counter.end(status, seconds)
            if self._access_log:  # takes 25 µs. Paths, queries, headers and bodies are left out: they may hold secrets
                fields = {"method": scope["method"], "route": operation.path, "status": status}
                log.info("request_answered", **fields, seconds=round(seconds, 4))

    def _counter_of(self, method: str) -> RouteCounter:
        key = method if method in _METHODS else "other", self.operation.path
        return self._counters.get(key) or self._counters.setdefault(key, RouteCounter())


class TracedEndpoint(ApiEndpoint):
    """One that opens a span for each request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        with tracing.request(request.method, self.operation.path, request.headers) as span:

            async def send_traced(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await super().__call__(scope, receive, send_traced)


class FixedRoute(Route):
    """A route whose path has no parameters: it compares texts, in a tenth of the time of a regular expression."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope.get("root_path"):
            return super().matches(scope)
        if scope["path"] != self.path:
            return Match.NONE, {}
        fits = self.methods is None or scope["method"] in self.methods
        return Match.FULL if fits else Match.PARTIAL, {"endpoint": self.endpoint, "path_params": {}}


def _request_id(given: bytes | None) -> tuple[bytes, bytes]:
    """Name the request in every line of the log that it causes, and return the header of its response.

    A client's own X-Request-ID is kept if it is plain.
    """
    if given is not None and _PLAIN_ID(given):
        REQUEST_ID.set(given.decode())
        return _ID_HEADER, given
    made = f"{_PREFIX}-{next(_NUMBERS):x}"
    REQUEST_ID.set(made)
    return _ID_HEADER, made.encode()
