"""The handler's composition root: `uvicorn --factory handler.app:create_app`."""

import gc
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import structlog
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from console.operations import console_operations
from handler.connection import KEEP_ALIVE
from handler.http import openapi, unroutable
from handler.http.docs_page import docs_operations
from handler.http.endpoint import ApiEndpoint, FixedRoute, RouteCounters, TracedEndpoint
from handler.http.operation import ANY_METHOD, Operation
from handler.http.profiling import ProfilingMiddleware
from handler.routes import (
    endpoints,
    evaluations,
    health,
    inference_protocol,
    job_results,
    jobs,
    models,
    outcomes,
    predictions,
    submissions,
    tasks,
    triage,
    versions,
    workers,
)
from handler.settings import HandlerSettings
from handler.startup import Settings, read_settings, start_services
from serving.catalogue import specs
from serving.contract import Spec
from store import address
from telemetry.settings_errors import exit_on_invalid_settings

log = structlog.get_logger(__name__)

GARBAGE = 20_000
"""Objects after which the collector looks for cycles, of which requests make none; at Python's 700 it took 7 % of the
time of a handler under load."""

FREQUENT = {"/predict", "/submit", "/task/{task_id}"}

CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": ["Authorization", "Content-Encoding", "Content-Type", "Idempotency-Key", "Prefer"],
    "expose_headers": [
        *("Location", "Retry-After", "Idempotency-Replayed", "Preference-Applied", "WWW-Authenticate"),
        *("RateLimit", "RateLimit-Policy"),
    ],
    "max_age": 600,
}
"""What scripts of the origins in CORS_ORIGINS may send and read. Keys are no cookies: browsers send none unasked."""


@exit_on_invalid_settings()
def create_app() -> ASGIApp:
    """Read the settings and put the handler together; it connects when it starts to serve."""
    settings = read_settings()
    counters: RouteCounters = {}

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            services = await start_services(settings, counters, stack)
            log.info("handler_started")
            gc.freeze()  # what lives as long as the process need not be looked at again and again
            gc.set_threshold(GARBAGE)
            yield {"services": services, KEEP_ALIVE: settings.handler.keep_alive_seconds}

    document = partial(_document, settings=settings.handler)
    pages = console_operations(address.parse(settings.store.database_url).password or "")
    routes = make_routes([*api_operations(specs()), *pages, *docs_operations(document)], counters, settings)
    not_found = _endpoint(unroutable.NOT_FOUND, counters, settings)
    app: ASGIApp = Router(routes, redirect_slashes=False, default=not_found, lifespan=lifespan)
    if settings.handler.origins:
        app = CORSMiddleware(app, allow_origins=settings.handler.origins, **CORS)
    if settings.handler.profiler == "on":
        app = ProfilingMiddleware(app)
    return app


def api_operations(described: Mapping[str, Spec]) -> list[Operation]:
    """Return every operation of the API, in the order of its documentation, with these models' inputs described.

    Whichever these are, the operations serve all models.
    """
    return [
        *submissions.operations(described),
        *tasks.operations(described),
        *jobs.operations(described),
        *job_results.OPERATIONS,
        *endpoints.operations(described),
        *models.OPERATIONS,
        *versions.OPERATIONS,
        *evaluations.OPERATIONS,
        *predictions.OPERATIONS,
        *outcomes.OPERATIONS,
        *triage.OPERATIONS,
        *workers.OPERATIONS,
        *inference_protocol.operations(described),
        *health.OPERATIONS,
    ]


def make_routes(operations: Sequence[Operation], counters: RouteCounters, settings: Settings) -> list[Route]:
    """Return a route for each operation, the frequent ones first, and then those for a wrong method or path.

    The router tries them in this order.
    """
    ordered = sorted(operations, key=lambda operation: operation.path not in FREQUENT)
    routes = []
    for operation in [*ordered, *unroutable.operations(operations)]:
        methods = None if operation.method == ANY_METHOD else [operation.method]
        route = Route if "{" in operation.path else FixedRoute
        routes.append(route(operation.path, _endpoint(operation, counters, settings), methods=methods))
    return routes


def _endpoint(operation: Operation, counters: RouteCounters, settings: Settings) -> ApiEndpoint:
    endpoint = ApiEndpoint if settings.tracing.tracing_endpoint is None else TracedEndpoint
    return endpoint(operation, counters, access_log=settings.handler.access_log == "on")


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document of a handler that serves the models of this repository."""
    return _document(specs(), read_settings().handler)


def _document(described: Mapping[str, Spec], settings: HandlerSettings) -> dict[str, Any]:
    return openapi.document(api_operations(described), described, settings)
