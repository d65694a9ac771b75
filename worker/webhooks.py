"""Tells receivers that their tasks have ended. Any number of these may run; each callback is claimed by one of them.

PostgreSQL knows what is to be told. Announcements only make it quick: what they miss, a sweep finds.
"""

import asyncio
import logging
import signal
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

from broker.finished import listen
from broker.settings import BrokerSettings
from store import webhooks
from store.engine import connect
from store.settings import StoreSettings
from store.webhooks import AttemptEnded, DueWebhook
from telemetry import exporter, logs
from webhooks.network import CheckedNetwork
from webhooks.posting import Answer, Event, Poster
from webhooks.retries import next_attempt
from webhooks.settings import WebhookSettings
from worker.settings import DeliverySettings
from worker.watched import Transactions, WatchedEngine

log = structlog.get_logger(__name__)

SLOTS = 256
"""Deliveries under way at once; each of them mostly waits."""

CLAIMED = BUSY = 32
"""Callbacks in one claim, and deliveries under way to one host from which on no more are claimed for it: a receiver
that does not answer holds fewer than a quarter of the slots."""

IDLE = 1.0
GATHER = 0.02
"""Seconds between two looks at PostgreSQL when nobody says anything, and when much is said."""

MAX_HEARD = 10_000
"""Ended tasks to look up one by one; where more have gathered, a sweep looks at the callbacks instead."""

RECONNECT = 1.0
STOP = 3.0
"""Seconds that deliveries under way are given when the program stops."""

MARGIN = timedelta(seconds=30)
"""How much longer than a delivery its lease is, for storing what became of it."""


class Deliverer:
    def __init__(
        self,
        engine: Transactions,
        listen: Callable[[], AsyncIterator[list[str]]],
        poster: Poster,
        settings: DeliverySettings,
        *,
        slots: int = SLOTS,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._engine = engine
        self._listen_to_endings = listen
        self._poster = poster
        self._lease = timedelta(seconds=settings.webhook_timeout_seconds) + MARGIN
        self._sweep_every = settings.webhook_sweep_seconds
        self._sweep_at = 0.0
        self._slots = slots
        self._running: dict[asyncio.Task[None], str] = {}
        self._heard: set[UUID] = set()
        self._ended: list[AttemptEnded] = []
        self._woken = asyncio.Event()
        self._stopping = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._attempts = Counter(
            "millrace_webhook_attempts", "Callbacks by what came of an attempt", ["outcome"], registry=registry
        )
        self._seconds = Histogram("millrace_webhook_attempt_duration_seconds", "Of one attempt", registry=registry)
        for outcome in ("delivered", "failed", "given_up"):
            self._attempts.labels(outcome)
        self._in_flight = Gauge(
            "millrace_webhooks_in_flight", "Callbacks under way", multiprocess_mode="livesum", registry=registry
        )

    async def run(self) -> None:
        """Deliver until told to stop."""
        listening = asyncio.create_task(self._listen())
        while not self._stopping:
            if await self._round() < CLAIMED:
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE):
                        await self._woken.wait()
                self._woken.clear()
                await asyncio.sleep(GATHER)
        listening.cancel()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=STOP)
            for delivery in late:
                delivery.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._round()
        await self._poster.close()

    def stop(self) -> None:
        self._stopping = True
        self._woken.set()

    async def _round(self) -> int:
        """Store what came back, make due what was heard, start what is due, and return how many that were."""
        ended, heard, sweeping = self._ended, self._heard, monotonic() >= self._sweep_at
        self._ended, self._heard = [], set()
        hosts = Tally(self._running.values())
        busy = [host for host, running in hosts.items() if running >= BUSY]
        free = 0 if self._stopping else min(CLAIMED, self._slots - hosts.total())
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, self._exchange, ended, heard, sweeping, free, busy
        )
        try:
            claimed = await work
        except SQLAlchemyError as error:
            log.warning("webhooks_interrupted", error=str(error))
            self._ended = ended + self._ended
            self._sweep_at = 0.0  # finds what was heard
            return 0
        if sweeping:
            self._sweep_at = monotonic() + self._sweep_every
        for due in claimed:
            delivery = asyncio.create_task(self._deliver(due))
            self._running[delivery] = due.host
            delivery.add_done_callback(self._running.pop)
        return len(claimed)

    def _exchange(
        self, ended: Sequence[AttemptEnded], heard: Collection[UUID], sweeping: bool, free: int, busy: Sequence[str]
    ) -> list[DueWebhook]:
        """Do a round's part in PostgreSQL, in one transaction."""
        with self._engine.begin() as connection:
            if ended:
                webhooks.settle(connection, ended)
            if sweeping:
                webhooks.sweep(connection)
            elif heard:
                webhooks.make_due(connection, heard)
            return webhooks.claim(connection, lease=self._lease, limit=free, busy=busy) if free > 0 else []

    async def _deliver(self, due: DueWebhook) -> None:
        event = Event(due.task_id, due.model, due.status, due.ended_at, due.client)
        try:
            with self._in_flight.track_inprogress(), self._seconds.time():
                answer = await self._poster.post(event, due.url)
            retry = None if answer.delivered or answer.gone else next_attempt(due.attempt, answer.retry_after)
        except asyncio.CancelledError:  # stopping: whoever starts next delivers it
            answer, retry = Answer(error="interrupted"), 0.0
        except Exception as error:  # whatever it was, it is tried again and in the end given up, like any failure
            log.exception("webhook_broke", task_id=str(due.task_id), host=due.host)
            answer, retry = Answer(error=type(error).__name__), next_attempt(due.attempt)
        self._ended.append(AttemptEnded(due.task_id, due.until, answer.delivered, retry, answer.status, answer.error))
        self._woken.set()
        # The host only: the rest of the URL may hold a secret of its receiver.
        event_log = log.bind(task_id=str(due.task_id), host=due.host, attempt=due.attempt, status=answer.status)
        self._attempts.labels("delivered" if answer.delivered else "given_up" if retry is None else "failed").inc()
        if answer.delivered:
            event_log.info("webhook_delivered")
        elif retry is None:
            event_log.error("webhook_given_up", error=answer.error)
        else:
            event_log.warning("webhook_failed", error=answer.error, retry_in=round(retry))

    async def _listen(self) -> None:
        while True:
            try:
                async for ended in self._listen_to_endings():
                    self._heard.update(map(UUID, ended))
                    if not ended or len(self._heard) > MAX_HEARD:  # listening has begun anew, or too much was said
                        self._heard.clear()
                        self._sweep_at = 0.0
                    self._woken.set()
            except Exception as error:  # Redis is away, or somebody else spoke: listening must go on
                log.warning("not_listening", error=str(error))
            await asyncio.sleep(RECONNECT)


def deliverer(listen: Callable[[], AsyncIterator[list[str]]], registry: CollectorRegistry) -> Deliverer:
    """Put one together as the settings say; `listen` yields the ids of tasks that have ended."""
    settings, delivery = WebhookSettings(), DeliverySettings()
    network = CheckedNetwork(allow_private=settings.webhook_allow_private)
    poster = Poster(
        settings.keys, network, delivery.webhook_timeout_seconds, allow_private=settings.webhook_allow_private
    )
    store = StoreSettings()
    engine = WatchedEngine(connect(str(store.database_url), pool_size=1), store.database_timeout_seconds)
    slots = SLOTS if settings.keys else 0  # what cannot be signed is not sent
    log.info("webhooks_started", on=bool(settings.keys))
    return Deliverer(engine, listen, poster, delivery, slots=slots, registry=registry)


async def deliver() -> None:
    redis_url, registry = BrokerSettings().redis, exporter.registry()
    delivering = deliverer(lambda: listen(redis_url), registry)
    exporter.serve(registry, exporter.MetricsSettings(), "webhooks")
    for how in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(how, delivering.stop)
    await delivering.run()


def main() -> None:
    logs.configure(logs.LogSettings())
    logging.getLogger("httpcore").setLevel("INFO")  # it would print whole URLs
    asyncio.run(deliver())


if __name__ == "__main__":
    main()
