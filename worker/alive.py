"""`python -m worker.alive [rescue | webhooks]`: says by its exit status whether a container's program gets on.

PostgreSQL or Redis away is no failure here: to restart every worker would not bring them back.
"""

import socket
import sys
import time
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from broker.publisher import Publisher, PublishFailed
from broker.settings import BrokerSettings
from models import catalogue
from store import workers
from store.engine import connect
from store.settings import StoreSettings
from worker.settings import RescueSettings

PATIENCE = timedelta(seconds=30)
"""How much later than planned a round may be: as long as a slow one of rescue takes with Redis away.

And for how long a task waits before an idle worker is asked why."""

GLANCE = 3.0
"""Seconds between two looks at a worker that seems idle: its processes tell what they have done every second."""

_WAITS_LONG = text("""
    SELECT EXISTS (SELECT FROM tasks WHERE status = 'PENDING' AND model = ANY(:models) AND published_at < now() - :long)
""")

# Both ask PostgreSQL something in every round, and each alone does so from its container's address.
_LAST_ROUND = text("""
    SELECT now() - max(state_change) FROM pg_stat_activity
    WHERE client_addr = inet_client_addr() AND pid <> pg_backend_pid()
""")


def main(program: str) -> None:
    try:
        with connect(str(StoreSettings().database_url)).connect() as connection:
            fault = _worker_fault(connection) if program == "worker" else _silence(connection, program)
    except OperationalError as error:
        sys.stdout.write(f"cannot tell: {error.orig}")
        return
    if fault:
        sys.exit(fault)
    sys.stdout.write(f"{program} is alive\n")


def _worker_fault(connection: Connection) -> str | None:
    """Say why the worker should be restarted: none of its processes lives, or it sits idle before messages for it.

    A process is on the list from when its models are loaded; one that is being replaced is missing for a while.
    """
    host = socket.gethostname()
    before = workers.done_on(connection, host)
    if not before.models:
        return f"no worker process of {host} was seen ready in the last {workers.ALIVE.total_seconds():.0f} s"
    if before.working or not _waiting(connection, before.models):
        return None
    time.sleep(GLANCE)
    after = workers.done_on(connection, host)
    if after.working or after.tasks != before.tasks or not _waiting(connection, before.models):
        return None
    return f"the worker of {host} is idle, and messages for {', '.join(before.models)} wait"


def _waiting(connection: Connection, models: Sequence[str]) -> bool:
    """Say whether a task of these models has waited long with its message in the queue; one without is rescue's."""
    if not connection.scalar(_WAITS_LONG, {"models": models, "long": PATIENCE}):
        return False
    publisher = Publisher(str(BrokerSettings().redis_url), catalogue.bounds)
    try:
        return any(sum(publisher.waiting(model).values()) for model in models)
    except PublishFailed:
        return False


def _silence(connection: Connection, program: str) -> str | None:
    silent: timedelta | None = connection.scalar(_LAST_ROUND)
    if silent is None:
        return f"{program} has no connection to PostgreSQL"
    planned = RescueSettings().rescue_interval_seconds if program == "rescue" else 0
    if silent > PATIENCE + timedelta(seconds=planned):
        return f"{program} did its last round {silent.total_seconds():.0f} s ago"
    return None


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "worker")
