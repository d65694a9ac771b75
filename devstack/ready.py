"""Whether the programs that `millrace up` has started are ready."""

import urllib.request
from base64 import b64encode
from datetime import datetime
from urllib.error import URLError

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from store import workers
from store.tables import unloaded_models

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot reach our loopback


def all_loaded(engine: Engine, start: datetime, processes: int) -> bool:
    """Return whether so many worker processes that started after `start` have their models loaded."""
    try:
        with engine.connect() as connection:
            return workers.ready_since(connection, start) >= processes
    except DBAPIError:  # PostgreSQL is being started again
        return False


def unloaded(engine: Engine, start: datetime) -> dict[str, str]:
    """Return why, by model, workers that started after `start` could not load it."""
    try:
        with engine.connect() as connection:
            rows = connection.execute(workers.UNLOADED.where(unloaded_models.c.seen_at >= start)).all()
    except DBAPIError:
        return {}
    return {row.model: row.reason for row in rows}


def answers(address: str, user_and_password: str | None = None) -> bool:
    """Return whether a page answers with 200."""
    request = urllib.request.Request(address)  # noqa: S310 (our own)
    if user_and_password:
        request.add_header("Authorization", "Basic " + b64encode(user_and_password.encode()).decode())
    try:
        with _DIRECT.open(request, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
