"""`python -m worker.liveness`: the liveness probe of a worker. Its exit status says whether to restart the worker.

The probe passes while PostgreSQL or Redis is away: restarting every worker would not bring them back.
"""

import socket
import sys
import time
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from broker.broker import PublishFailed
from broker.redis_broker import RedisBroker
from broker.settings import BrokerSettings
from registry import versions
from registry.versions import Registry
from store import waiting, workers
from store.engine import connect
from store.settings import StoreSettings
from worker.scoring.wanted import wanted
from worker.settings import WorkerSettings

MAX_WAIT = timedelta(seconds=30)
"""How long a task may wait while the worker is idle."""

CHECK_INTERVAL = 3.0
"""Seconds between two checks of a worker that seems idle: its processes report what they have done every second."""


def main() -> None:
    try:
        with connect(StoreSettings().database_url).connect() as connection:
            fault = _fault(connection)
    except OperationalError as error:
        sys.stdout.write(f"PostgreSQL cannot be asked: {error.orig}")
        return
    if fault:
        sys.exit(fault)
    sys.stdout.write("worker is alive\n")


def _fault(connection: Connection) -> str | None:
    """Return why the worker should be restarted: none of its processes lives, or it is idle while messages wait for it.

    A process counts as living once its models are loaded. While it is being replaced, it is missing for some seconds.
    """
    host = socket.gethostname()
    before = workers.activity_of(connection, host)
    if not before.models:
        if not wanted(versions.read(connection), WorkerSettings().chosen):
            return None  # it waits for the first model that it can load
        return f"no worker process of {host} was seen ready in the last {workers.ALIVE.total_seconds():.0f} s"
    if before.working or not _waiting(connection, before.models):
        return None
    time.sleep(CHECK_INTERVAL)
    after = workers.activity_of(connection, host)
    if after.working or after.tasks != before.tasks or not _waiting(connection, before.models):
        return None
    return f"the worker of {host} is idle, and messages for {', '.join(before.models)} wait"


def _waiting(connection: Connection, models: Sequence[str]) -> bool:
    """Return whether a task of these models waits too long and has a message. Rescue publishes those that have none."""
    if not waiting.any_longer_than(connection, MAX_WAIT, models):
        return False
    publisher = RedisBroker(str(BrokerSettings().redis_url), Registry().bounds)
    try:
        return any(sum(publisher.waiting(model).values()) for model in models)
    except PublishFailed:
        return False


if __name__ == "__main__":
    main()
