"""Tells receivers what has happened. Any number of deliverers may run: each callback is claimed by one.

PostgreSQL knows which callbacks are due. Announcements only make delivery quick: a sweep finds those that they miss.
"""

import asyncio
import sys
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy.exc import SQLAlchemyError

from broker.address import explain
from store import model_notices, webhooks
from store.engine import WatchedEngine
from store.settings import StoreSettings
from store.webhooks import AttemptEnded, DueWebhook, Webhooks
from telemetry.heartbeat import beat
from webhooks.network import CheckedNetwork
from webhooks.posting import Event, Poster, WebhookResponse
from webhooks.retries import next_attempt
from webhooks.settings import DeliverySettings, WebhookSettings
from webhooks.urls import UrlRefused, target

log = structlog.get_logger(__name__)

MAX_IN_FLIGHT = 256
"""Deliveries in flight at once; each of them mostly waits."""

MAX_CLAIMED = MAX_PER_HOST = 32
"""Callbacks in one claim, and deliveries in flight to one host above which no more are claimed for it: a receiver that
does not respond holds less than a quarter of MAX_IN_FLIGHT."""

IDLE_INTERVAL = 1.0
BUSY_INTERVAL = 0.02
"""Seconds between two transactions, without announcements and with many."""

MAX_ANNOUNCED = 10_000
"""Ended tasks to look up one by one. Where more have been announced, a sweep looks at all callbacks instead."""

RECONNECT_DELAY = 1.0
SHUTDOWN_TIMEOUT = 3.0
"""Seconds that deliveries in flight have when the program stops."""

LEASE_MARGIN = timedelta(seconds=30)
"""How much longer than a delivery its lease is, for storing the result."""


class Deliverer:
    def __init__(
        self,
        engine: WatchedEngine,
        listen: Callable[[], AsyncIterator[list[str]]],
        poster: Poster,
        settings: DeliverySettings,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._engine = engine
        self._listen_to_announcements = listen
        self._poster = poster
        self._lease = timedelta(seconds=settings.webhook_timeout_seconds) + LEASE_MARGIN
        self._sweep_every = settings.webhook_sweep_seconds
        self._model_url = settings.model_webhook_url and settings.model_webhook_url.get_secret_value()
        self._sweep_at = 0.0
        self._max_in_flight = max_in_flight
        self._running: dict[asyncio.Task[None], str] = {}
        self._announced: set[UUID] = set()
        self._ended: list[AttemptEnded] = []
        self._woken = asyncio.Event()
        self._stopping = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._attempts = Counter("millrace_webhook_attempts", "Attempts by outcome", ["outcome"], registry=registry)
        self._seconds = Histogram(
            "millrace_webhook_attempt_duration_seconds", "Duration of one attempt", registry=registry
        )
        for outcome in ("delivered", "failed", "given_up"):
            self._attempts.labels(outcome)
        self._in_flight = Gauge("millrace_webhooks_in_flight", "Deliveries in flight", registry=registry)

    async def run(self) -> None:
        """Deliver until `stop` is called."""
        listening = asyncio.create_task(self._listen())
        while not self._stopping:
            beat("webhooks")
            if await self._round() < MAX_CLAIMED:
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_INTERVAL):
                        await self._woken.wait()
                self._woken.clear()
                await asyncio.sleep(BUSY_INTERVAL)
        listening.cancel()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=SHUTDOWN_TIMEOUT)
            for delivery in late:
                delivery.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._round()
        await self._poster.close()

    def stop(self) -> None:
        self._stopping = True
        self._woken.set()

    async def _round(self) -> int:
        """Store results, make announced callbacks due, start deliveries, and return how many were started."""
        ended, announced, sweeping = self._ended, self._announced, monotonic() >= self._sweep_at
        self._ended, self._announced = [], set()
        hosts = Tally(self._running.values())
        busy = [host for host, running in hosts.items() if running >= MAX_PER_HOST]
        free = 0 if self._stopping else min(MAX_CLAIMED, self._max_in_flight - hosts.total())
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, self._exchange, ended, announced, sweeping, free, busy
        )
        try:
            claimed = await work
        except SQLAlchemyError as error:
            log.warning("webhooks_interrupted", error=str(error))
            self._ended = ended + self._ended
            self._sweep_at = 0.0  # the sweep finds what was announced
            return 0
        if sweeping:
            self._sweep_at = monotonic() + self._sweep_every
        for due in claimed:
            delivery = asyncio.create_task(self._deliver(due))
            self._running[delivery] = due.host
            delivery.add_done_callback(self._running.pop)
        return len(claimed)

    def _exchange(
        self, ended: Sequence[AttemptEnded], announced: Collection[UUID], sweeping: bool, free: int, busy: Sequence[str]
    ) -> list[DueWebhook]:
        """Do a round's work in PostgreSQL, in one transaction."""
        with self._engine.begin() as connection:
            if ended:
                webhooks.settle(connection, ended)
            if sweeping:
                webhooks.sweep(connection)
                if self._model_url:
                    model_notices.note(connection, self._model_url)
            elif announced:
                webhooks.make_due(connection, announced)
            return webhooks.claim(connection, lease=self._lease, limit=free, busy=busy) if free > 0 else []

    async def _deliver(self, due: DueWebhook) -> None:
        event = Event(due.id, due.type, due.happened_at, due.data, due.client)
        try:
            with self._in_flight.track_inprogress(), self._seconds.time():
                response = await self._poster.post(event, due.url)
            retry = None if response.delivered or response.gone else next_attempt(due.attempt, response.retry_after)
        except asyncio.CancelledError:  # shutting down: the next deliverer retries at once
            response, retry = WebhookResponse(error="interrupted"), 0.0
        except Exception as error:  # a bug: retried and in the end given up, like any failure
            log.exception("webhook_broke", **_named(due))
            response, retry = WebhookResponse(error=type(error).__name__), next_attempt(due.attempt)
        self._ended.append(
            AttemptEnded(due.kind, due.id, due.until, response.delivered, retry, response.status, response.error)
        )
        self._woken.set()
        event_log = log.bind(**_named(due), attempt=due.attempt, status=response.status)
        self._attempts.labels("delivered" if response.delivered else "given_up" if retry is None else "failed").inc()
        if response.delivered:
            event_log.info("webhook_delivered")
        elif retry is None:
            event_log.error("webhook_given_up", error=response.error)
        else:
            event_log.warning("webhook_failed", error=response.error, retry_in=round(retry))

    async def _listen(self) -> None:
        while True:
            try:
                async for ended in self._listen_to_announcements():
                    self._announced.update(map(UUID, ended))
                    if (
                        not ended or len(self._announced) > MAX_ANNOUNCED
                    ):  # `listen` yields nothing when it has connected
                        self._announced.clear()
                        self._sweep_at = 0.0
                    self._woken.set()
            except Exception as error:  # Redis is away, or somebody published junk
                log.warning("not_listening", error=explain(error))
            await asyncio.sleep(RECONNECT_DELAY)


def _named(due: DueWebhook) -> dict[str, str]:
    # The host only: the rest of the URL may hold a secret of its receiver.
    return {"task_id" if due.kind is Webhooks.OF_TASKS else "event_id": str(due.id), "host": due.host}


def _check(url: str, settings: WebhookSettings) -> None:
    """End the program where MODEL_WEBHOOK_URL cannot be called."""
    if not settings.keys:
        sys.exit("MODEL_WEBHOOK_URL: set WEBHOOK_SECRET, too, which signs what is told")
    try:
        target(url, allow_private=settings.webhook_allow_private)
    except UrlRefused as refused:
        sys.exit(f"MODEL_WEBHOOK_URL: {refused}")


def deliverer(listen: Callable[[], AsyncIterator[list[str]]], registry: CollectorRegistry) -> Deliverer:
    """Make one from the settings; `listen` yields the ids of tasks that have ended."""
    settings, delivery = WebhookSettings(), DeliverySettings()
    if delivery.model_webhook_url is not None:
        _check(delivery.model_webhook_url.get_secret_value(), settings)
    network = CheckedNetwork(allow_private=settings.webhook_allow_private)
    poster = Poster(
        settings.keys, network, delivery.webhook_timeout_seconds, allow_private=settings.webhook_allow_private
    )
    store = StoreSettings()
    engine = WatchedEngine(store.database_url, store.database_timeout_seconds, pool_size=1)
    max_in_flight = MAX_IN_FLIGHT if settings.keys else 0  # without a key nothing can be signed, so nothing is sent
    log.info("webhooks_started", on=bool(settings.keys))
    return Deliverer(engine, listen, poster, delivery, max_in_flight=max_in_flight, registry=registry)
