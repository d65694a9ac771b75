"""Brings back what was lost: tasks whose worker fell silent, tasks whose message is gone, tasks out of time.

Any number of these may run; an advisory lock lets one at a time work.
"""

import signal
import threading
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from broker.broker import AnnounceFailed, Sender
from broker.message import MAX_TASKS
from broker.publisher import PublishFailed
from broker.redis_broker import RedisBroker
from broker.settings import BrokerSettings
from models import catalogue
from store import claims, workers
from store.claims import WaitingTask
from store.engine import connect
from store.settings import StoreSettings
from telemetry import exporter, logs
from telemetry.stopping import asked_to_stop
from worker.retention import Retention, personal
from worker.rounds import Rounds
from worker.settings import RescueSettings
from worker.watched import Transactions, WatchedEngine

log = structlog.get_logger(__name__)

LOCK = 0x6D696C6C7261  # any number that nobody else uses: "millra"
LIMIT = 10_000
"""Tasks in one round: bounds the transaction. What is left waits for the next round."""

PROMOTED = MAX_TASKS
"""Tasks of a model that one round makes high: one chunk, so that they hardly delay what is high by right."""


class Rescue:
    def __init__(self, engine: Transactions, sender: Sender, settings: RescueSettings, rounds: Rounds) -> None:
        self._engine = engine
        self._sender = sender
        self._settings = settings
        self._rounds = rounds
        self._patience = timedelta(seconds=settings.republish_after_seconds)
        self._starving = timedelta(seconds=settings.starving_after_seconds)
        self._keys_live = timedelta(hours=settings.idempotency_hours)

        days = settings.text_retention_days
        self._retention = Retention(engine, timedelta(days=days), personal(catalogue.specs())) if days else None

    def run(self, stopping: threading.Event) -> None:
        """Do one round after another until `stopping` is set."""
        while True:
            try:
                self.turn()
            except SQLAlchemyError as error:
                log.warning("rescue_interrupted", error=str(error))
            except Exception:  # one bad round must not be the last: nobody else brings lost tasks back
                log.exception("rescue_round_failed")
            if stopping.wait(self._settings.rescue_interval_seconds):
                return

    def turn(self) -> None:
        """Do a round, and what is due beside it: retention, and what is looked up for Prometheus."""
        self.round()
        if self._retention is not None:
            self._retention.turn()
        self._rounds.over()
        self._rounds.look(self._engine)

    def round(self) -> None:
        """Expire, take back, republish, promote: committed together, before any message goes out."""
        waiting_messages = self._waiting_messages()
        lost: list[WaitingTask] = []
        promoted: list[WaitingTask] = []
        with self._engine.begin() as connection:
            if not connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": LOCK}):
                return
            expired = claims.expire(connection, limit=LIMIT)
            taken_back, failed = claims.take_back(connection, attempts=self._settings.max_attempts, limit=LIMIT)
            for (model, priority), messages in waiting_messages.items():
                lost += claims.republish(
                    connection, model, priority, queue_empty=messages == 0, patience=self._patience, limit=LIMIT
                )
            for model in {model for model, _ in waiting_messages}:
                promoted += claims.promote(connection, model, patience=self._starving, limit=PROMOTED)
            claims.forget_keys(connection, older_than=self._keys_live, limit=LIMIT)
            workers.forget_dead(connection)
        self._rounds.note(
            taken_back=taken_back, worker_lost=failed, expired=expired, republished=lost, promoted=promoted
        )
        self._log(taken_back, failed, lost)
        # A task that was taken back goes alone: if it kills its worker, it takes no other with it.
        self._publish(taken_back, alone=True)
        self._publish(lost + promoted, alone=False)
        if expired or failed:
            try:
                self._sender.announce([*expired, *failed])
            except AnnounceFailed as error:
                log.warning("announce_failed", error=str(error))

    def _waiting_messages(self) -> dict[tuple[str, int], int]:
        """Count the messages by model and priority; with Redis away there is nowhere to publish to, so none."""
        counts: dict[tuple[str, int], int] = {}
        try:
            for model in catalogue.specs():
                for priority, messages in self._sender.waiting(model).items():
                    counts[model, priority] = messages
        except PublishFailed as error:
            log.warning("redis_unreachable", error=str(error))
            return {}
        return counts

    def _log(self, taken_back: list[WaitingTask], failed: list[UUID], lost: list[WaitingTask]) -> None:
        for task in taken_back:
            log.warning("task_taken_back", task_id=str(task.task_id), model=task.model)
        for task_id in failed:
            log.error("task_failed", task_id=str(task_id), reason="its worker was lost too often")
        if lost:
            log.warning("tasks_republished", tasks=len(lost))

    def _publish(self, tasks: list[WaitingTask], *, alone: bool) -> None:
        try:
            self._sender.publish(tasks, alone=alone)
        except PublishFailed as error:  # they are PENDING, and a later round publishes them
            log.warning("publish_failed", error=str(error))


def main() -> None:
    logs.configure(logs.LogSettings())
    broker = RedisBroker(BrokerSettings().redis, catalogue.bounds)
    store = StoreSettings()
    engine = WatchedEngine(connect(str(store.database_url)), store.database_timeout_seconds)
    registry = exporter.registry()
    rescue = Rescue(engine, broker, RescueSettings(), Rounds(registry))
    exporter.serve(registry, exporter.MetricsSettings(), "rescue")
    stopping = asked_to_stop((signal.SIGTERM, signal.SIGINT))
    log.info("rescue_started")
    rescue.run(stopping)


if __name__ == "__main__":
    main()
