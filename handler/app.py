"""The handler's composition root: `uvicorn --factory handler.app:create_app`."""

import asyncio
import gc
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

import structlog
from fastapi import Depends, FastAPI
from fastapi_swagger import patch_fastapi
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from broker.broker import Broker
from broker.redis_broker import RedisBroker
from broker.settings import BrokerSettings
from handler import identity, openapi, own_site, problems
from handler.backlog import Backlog
from handler.fast_lane import Handler
from handler.headers import Headers, across_origins
from handler.intake import Intake
from handler.keyring import Keyring
from handler.meters import Counted, Meters, Waiting, templates
from handler.own_site import OwnSite
from handler.parts import running
from handler.patience import Patience
from handler.rate import Limiter, Rate
from handler.room import Room
from handler.routes import endpoints, health, inference_protocol, models, submissions, tasks, workers
from handler.services import Services, prediction_tables
from handler.settings import HandlerSettings
from handler.traced import Profiled, Traced
from handler.waiters import Waiters
from migrations.revisions import head, older
from models import artifact
from models.catalogue import bounds, specs
from store.engine import connect_async, single
from store.settings import StoreSettings
from telemetry import exporter, logs, tracing
from webhooks.settings import WebhookSettings

log = structlog.get_logger(__name__)

GARBAGE = 20_000
"""Objects after which the collector looks for cycles, of which requests make none; at Python's 700 it took 7 % of the
time of a handler under load."""


def _before_stopping(act: Callable[[], None]) -> None:
    """Act as soon as the server is asked to stop: it waits for open requests first, and tells us only after that."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for how in (signal.SIGTERM, signal.SIGINT):
        servers_own = signal.getsignal(how)

        def stop(number: int, frame: FrameType | None, servers_own: Any = servers_own) -> None:
            loop.call_soon_threadsafe(act)
            if callable(servers_own):
                servers_own(number, frame)

        signal.signal(how, stop)


def _broker(
    settings: BrokerSettings, registry: CollectorRegistry
) -> tuple[Broker, Callable[[], None], Callable[[], None]]:
    """Return the engine's broker, what to do when the server is asked to stop, and what to do at the end.

    With ENGINE=pool this returns when the models are loaded, and the registry shows what their processes count too.
    Raises pool.LoadFailed.
    """
    if settings.engine == "celery":
        return RedisBroker(settings.redis, bounds), _nothing, _nothing
    from worker.pool_broker import PoolBroker  # the one import of a program by another: see pyproject.toml

    broker = PoolBroker(registry)
    return broker, broker.stop, broker.close


def _nothing() -> None:
    """Celery's workers stop by themselves."""


def create_app() -> ASGIApp:
    """Read the settings and put the handler together; it connects when it starts to serve."""
    logs.configure(logs.LogSettings())
    settings, store, brokers = HandlerSettings(), StoreSettings(), BrokerSettings()
    webhooks = WebhookSettings()
    metrics = exporter.MetricsSettings()
    registry = exporter.registry()
    meters = Meters(registry, access_log=settings.access_log == "on")
    guarded = settings.auth == "required"

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = connect_async(
            str(store.database_url), pool_size=store.database_pool_size, timeout=store.database_timeout_seconds
        )
        # A commit that answers many waits for no read.
        commits = connect_async(str(store.database_url), pool_size=1, timeout=store.database_timeout_seconds)
        broker, stop_broker, close_broker = await asyncio.to_thread(_broker, brokers, registry)
        intake = Intake(commits, broker, meters)
        waiters = Waiters(broker)
        backlog = Backlog(engine, settings.max_backlog_inputs)
        patience = Patience(settings.body_timeout_seconds)
        registry.register(Waiting(backlog, specs()))
        exported = exporter.serve(registry, metrics, "handler")
        app.state.services = Services(
            settings,
            webhooks,
            engine,
            single(engine),
            intake,
            waiters,
            backlog,
            specs(),
            prediction_tables(specs()),
            {name: artifact.current(name).manifest for name in specs()},
            head(),
            older(),
            Keyring(engine) if guarded else None,
            Limiter(Rate.parse(settings.rate_limit)) if settings.rate_limit else None,
            patience,
            Room(settings.max_body_bytes),
        )
        parts = [intake.run, waiters.run, backlog.run, patience.run]
        if (keyring := app.state.services.keyring) is not None:
            parts.append(keyring.run)
        else:
            log.warning("auth_off", meaning="whoever can connect may submit, and read and cancel every task")
        _before_stopping(waiters.close)
        _before_stopping(stop_broker)
        async with running(parts):
            log.info("handler_started")
            gc.freeze()  # what lives as long as the process need not be looked at again and again
            gc.set_threshold(GARBAGE)
            yield
        await intake.drain()
        await asyncio.to_thread(close_broker)
        await commits.dispose()
        await engine.dispose()
        await asyncio.to_thread(tracing.stop)
        if exported is not None:
            await asyncio.to_thread(exported.shutdown)
            exported.server_close()
        log.info("handler_stopped")

    app = Handler(
        title="Millrace",
        summary="Asynchronous task-queue inference: batches in, scores out.",
        version="0.1.0",
        lifespan=lifespan,
        docs_url=None,  # from our own host instead of a public one: see patch_fastapi
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        # Ours cover the fast lane too, and FastAPI's record what validation complained of.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    patch_fastapi(app)
    problems.install(app, meters.refused)
    openapi.describe_problems(app)
    if guarded:
        identity.describe(app)
    else:
        own_site.describe(app)
    keyed = (*([401] if guarded else []), *([429] if settings.rate_limit else []))
    keyed_routers = [
        submissions.router(specs()),
        endpoints.router(specs()),
        tasks.router(specs()),
        models.router,
        workers.router,
    ]
    open_routers = [inference_protocol.open_router, health.router]  # whoever asks whether we live has no key
    for closed in keyed_routers:
        app.include_router(
            closed,
            dependencies=[Depends(identity.identify)],
            responses=openapi.documented(*keyed),
        )
    protocol = openapi.documented_errors(*keyed)
    app.include_router(inference_protocol.router, dependencies=[Depends(identity.identify)], responses=protocol)
    for unguarded in open_routers:
        app.include_router(unguarded)
    routers = [*keyed_routers, inference_protocol.router, *open_routers]
    routes = [route for part in (app.router, *routers) for route in part.routes if hasattr(route, "path_regex")]
    template = templates(routes)
    app.add_middleware(Counted, requests=meters.requests, template=template)
    app.add_middleware(Headers)
    app.open_lane(submissions.fast(specs()), tasks.read_task, meters.requests)  # which appends the headers itself
    whole = across_origins(app, settings.origins)
    if not guarded:
        whole = OwnSite(whole, app, settings.hosts, settings.origins)
    if settings.profiler == "on":
        whole = Profiled(whole)
    if tracing.configure(tracing.TracingSettings(), "handler"):
        whole = Traced(whole, template=template)
    return whole
