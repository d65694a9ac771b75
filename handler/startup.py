"""Starts and stops what a handler consists of beside its routes."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, NamedTuple

import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.address import end_without_use
from broker.broker import Broker
from broker.lanes import ClientLanes
from broker.message import Bounds
from broker.redis_broker import RedisBroker
from broker.settings import BrokerSettings
from handler.answer import listing, result_stream
from handler.answer.tasks import TaskNotifier, TaskReader
from handler.auth.authentication import Authenticator, Keyring
from handler.auth.rate_limit import Rate, RateLimiter
from handler.auth.same_origin import SameOrigin
from handler.background import on_stop_request, running
from handler.http.body import BodyReader
from handler.http.endpoint import RouteCounters
from handler.metrics import BacklogCollector, RedisCollector, RequestCollector, SubmissionCollector
from handler.models import KnownModels
from handler.redis_state import RedisState
from handler.services import Services
from handler.settings import HandlerSettings
from handler.submit.backlog import Backlog
from handler.submit.group_commit import GroupCommit
from migrations.revisions import head, older
from migrations.schema import schema
from store import draws, result_rows
from store.engine import connect_async
from store.schema import SchemaCheck, names_of
from store.settings import StoreSettings
from store.tasks import SECONDS
from telemetry import exporter, logs, tracing
from webhooks.settings import WebhookSettings

log = structlog.get_logger(__name__)


class Settings(NamedTuple):
    handler: HandlerSettings
    store: StoreSettings
    broker: BrokerSettings
    webhooks: WebhookSettings
    metrics: exporter.MetricsSettings
    tracing: tracing.TracingSettings


def read_settings() -> Settings:
    """Read all settings of a handler, and configure its log. Exits where an address cannot be used."""
    logs.configure(logs.LogSettings())
    settings = Settings(
        HandlerSettings(),
        StoreSettings(),
        BrokerSettings(),
        WebhookSettings(),
        exporter.MetricsSettings(),
        tracing.TracingSettings(),
    )
    if settings.broker.engine == "celery":
        end_without_use(settings.broker.redis)
    return settings


async def start_services(settings: Settings, routes: RouteCounters, stack: AsyncExitStack) -> Services:
    """Start everything; the stack stops it in the opposite order."""
    stack.callback(log.info, "handler_stopped")
    registry = exporter.registry()
    await _export(settings, registry, stack)

    engine = _connect(settings.store, stack)
    # A commit that answers many waits for no read, nor do the probes, the keys or the backlog.
    commits = _connect(settings.store, stack, pool_size=1)
    vital = _connect(settings.store, stack, pool_size=2)
    lists = _connect(settings.store, stack, pool_size=listing.CONNECTIONS, timeout=2 * SECONDS)
    streams = _connect(
        settings.store, stack, pool_size=result_stream.CONNECTIONS, timeout=result_rows.SECONDS + SECONDS
    )
    triage = _connect(settings.store, stack, pool_size=2, timeout=draws.SECONDS + SECONDS)
    models = KnownModels(vital)
    with suppress(SQLAlchemyError):  # PostgreSQL is away: they are read as soon as it is there
        await models.refresh()
    bounds = models.registry.bounds
    broker, stop_broker, close_broker = await asyncio.to_thread(_broker, settings.broker, registry, bounds)
    stack.push_async_callback(asyncio.to_thread, close_broker)

    lanes = ClientLanes(bounds)
    notifier = TaskNotifier(broker, lanes.ended)
    backlog = Backlog(vital, settings.handler.max_backlog_inputs, lanes.forget_but)
    group_commit = GroupCommit(commits, engine, backlog, broker, lanes, registry)
    stack.push_async_callback(group_commit.drain)
    keyring = Keyring(vital) if settings.handler.auth == "required" else None
    limiter = RateLimiter(Rate.parse(settings.handler.rate_limit)) if settings.handler.rate_limit else None
    services = Services(
        settings=settings.handler,
        webhooks=settings.webhooks,
        engine=engine,
        vital=vital,
        tasks=TaskReader(engine, settings.store.database_pool_size, models, notifier),
        lists=listing.TaskLists(lists),
        results=result_stream.ResultStreams(streams),
        triage=triage,
        schema_head=head(),
        schema_older=older(),
        schema=SchemaCheck(names_of(schema().sorted_tables)),
        models=models,
        group_commit=group_commit,
        notifier=notifier,
        backlog=backlog,
        redis=RedisState(notifier, group_commit) if settings.broker.engine == "celery" else None,
        same_origin=None if keyring else SameOrigin(settings.handler.hosts, settings.handler.origins),
        authenticator=Authenticator(keyring, limiter) if keyring or limiter else None,
        bodies=BodyReader(settings.handler.max_body_bytes, settings.handler.body_timeout_seconds),
        refused=Counter(),
    )
    registry.register(RequestCollector(routes, services.refused))
    registry.register(SubmissionCollector(group_commit))
    registry.register(BacklogCollector(backlog, models))
    if services.redis is not None:
        registry.register(RedisCollector(services.redis))
    if keyring is None:
        meaning = "anybody who can connect may submit, read and cancel every task, and change which models are live"
        log.warning("auth_off", meaning=meaning)
    on_stop_request(notifier.close)
    on_stop_request(stop_broker)
    jobs = [models.run, group_commit.run, notifier.run, backlog.run, services.bodies.timeout.run]
    await stack.enter_async_context(running([*jobs, keyring.run] if keyring else jobs))
    return services


async def _export(settings: Settings, registry: CollectorRegistry, stack: AsyncExitStack) -> None:
    """Serve metrics and send traces, where the settings ask for it."""
    exported = exporter.serve(registry, settings.metrics, "handler")
    if exported is not None:
        stack.callback(exported.server_close)
        stack.push_async_callback(asyncio.to_thread, exported.shutdown)
    if tracing.configure(settings.tracing, "handler"):
        stack.push_async_callback(asyncio.to_thread, tracing.stop)


def _connect(settings: StoreSettings, stack: AsyncExitStack, **options: Any) -> AsyncEngine:
    defaults = {"pool_size": settings.database_pool_size, "timeout": settings.database_timeout_seconds}
    engine = connect_async(settings.database_url, **{**defaults, **options})
    stack.push_async_callback(engine.dispose)
    return engine


def _broker(
    settings: BrokerSettings, registry: CollectorRegistry, bounds: Bounds
) -> tuple[Broker, Callable[[], None], Callable[[], None]]:
    """Return the engine's broker, what to do when the server is asked to stop, and what to do at the end.

    With ENGINE=pool this returns when the models are loaded, and the registry shows what their processes count too.
    Raises pool.LoadFailed.
    """
    if settings.engine == "celery":
        return RedisBroker(settings.redis, bounds), _nothing, _nothing
    from worker.pool.broker import PoolBroker  # the one import of a program by another: see pyproject.toml

    broker = PoolBroker(registry, bounds)
    return broker, broker.stop, broker.close


def _nothing() -> None:
    """Celery's workers stop by themselves."""
