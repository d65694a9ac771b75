"""Which worker processes are alive and what they have loaded."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import unloaded_models, workers

ALIVE = timedelta(seconds=20)
"""A worker process is called alive for this long after it was last seen; it is seen every second."""


@dataclass
class WorkerModel:
    """A model that a worker process has loaded, and what it has done with it since it started."""

    version: str
    tasks_done: int = 0
    inputs_done: int = 0
    busy_seconds: float = 0
    cache_hits: int = 0
    working_since: float | None = None
    """On the clock time.monotonic of its process."""


def heartbeat(
    connection: Connection, worker: UUID, host: str, pid: int, resident_bytes: int, loaded: Mapping[str, WorkerModel]
) -> None:
    """Say that a worker process is ready with these models; with none, there is nothing to say."""
    if not loaded:
        return
    rows = [
        {
            "id": worker,
            "host": host,
            "pid": pid,
            "resident_bytes": resident_bytes,
            "model": model,
            "model_version": state.version,
            "tasks_done": state.tasks_done,
            "inputs_done": state.inputs_done,
            "busy_seconds": state.busy_seconds,
            "cache_hits": state.cache_hits,
            "working_since": None if since is None else func.now() - timedelta(seconds=monotonic() - since),
        }
        for model, state in loaded.items()
        for since in [state.working_since]  # read once: the process works on meanwhile
    ]
    statement = insert(workers).values(rows)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["id", "model"],
            set_={
                "seen_at": func.now(),
                "model_version": statement.excluded.model_version,
                "tasks_done": statement.excluded.tasks_done,
                "inputs_done": statement.excluded.inputs_done,
                "busy_seconds": statement.excluded.busy_seconds,
                "cache_hits": statement.excluded.cache_hits,
                "working_since": statement.excluded.working_since,
                "resident_bytes": statement.excluded.resident_bytes,
            },
        )
    )


def report_unloaded(connection: Connection, host: str, reasons: Mapping[str, str]) -> None:
    """Say which models the host's worker could not load."""
    statement = insert(unloaded_models).values([{"host": host, "model": m, "reason": r} for m, r in reasons.items()])
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["host", "model"], set_={"reason": statement.excluded.reason, "seen_at": func.now()}
        )
    )


UNLOADED = (
    select(unloaded_models.c.model, unloaded_models.c.host, unloaded_models.c.reason)
    .where(unloaded_models.c.seen_at > func.now() - ALIVE)
    .order_by(unloaded_models.c.model, unloaded_models.c.host)
)
"""(model, host, reason) of what living workers could not load."""


async def unloaded(connection: AsyncConnection) -> dict[str, str]:
    """Return by model why workers could not load it, and which."""
    found: dict[str, list[str]] = {}
    for model, host, reason in await connection.execute(UNLOADED):
        found.setdefault(model, []).append(f"{host}: {reason}")
    return {model: "; ".join(reasons) for model, reasons in found.items()}


def remove(connection: Connection, worker: UUID, models: Collection[str] | None = None) -> None:
    """Take a worker process off the list, when it stops, or only these models of it."""
    which = workers.c.id == worker
    if models is not None:
        which &= workers.c.model.in_(models)
    connection.execute(delete(workers).where(which))


def forget_dead(connection: Connection) -> int:
    """Drop the processes that have not been seen for an hour, and return how many rows that were."""
    connection.execute(delete(unloaded_models).where(unloaded_models.c.seen_at < func.now() - timedelta(hours=1)))
    return connection.execute(delete(workers).where(workers.c.seen_at < func.now() - timedelta(hours=1))).rowcount


def ready_since(connection: Connection, time: datetime | None) -> int:
    """Return how many worker processes have become ready since this time of the database's clock."""
    count = select(func.count(workers.c.id.distinct())).where(workers.c.ready_at >= time)
    return connection.scalar(count) or 0


@dataclass(frozen=True)
class HostActivity:
    """What the living processes of a host have loaded, whether one works, and how many tasks they have done."""

    models: list[str]
    working: bool
    tasks: int


def activity_of(connection: Connection, host: str) -> HostActivity:
    """Look at a host's worker processes; none live there where there are no models."""
    query = select(workers.c.model, workers.c.working_since.is_not(None), workers.c.tasks_done)
    rows = connection.execute(query.where(workers.c.host == host, workers.c.seen_at > func.now() - ALIVE)).all()
    return HostActivity(sorted({row[0] for row in rows}), any(row[1] for row in rows), sum(row[2] for row in rows))


READY = (
    select(workers.c.model, workers.c.model_version, func.count().label("processes"))
    .where(workers.c.seen_at > func.now() - ALIVE)
    .group_by(workers.c.model, workers.c.model_version)
    .order_by(workers.c.model, workers.c.model_version)
)


async def ready(connection: AsyncConnection) -> list[Row[Any]]:
    """Return (model, model_version, processes) of what is loaded in a living worker process."""
    return list((await connection.execute(READY)).all())


def processes_by_version(connection: Connection) -> dict[tuple[str, str], int]:
    """Return how many living processes have each version of each model loaded."""
    rows = connection.execute(READY).all()
    return {(row.model, row.model_version): row.processes for row in rows}


SEEN = timedelta(seconds=10)
"""A process tells what it does every second; what is older than this is not shown."""


async def listing(connection: AsyncConnection) -> list[Row[Any]]:
    """Return one row for each model that a living process has loaded."""
    return list((await connection.execute(LISTED)).all())


_SHOWN = (
    *("id", "host", "pid", "model", "model_version", "tasks_done", "inputs_done", "cache_hits"),
    *("ready_at", "working_since", "resident_bytes"),
)
LISTED = (
    select(*[workers.c[name] for name in _SHOWN])
    .where(workers.c.seen_at > func.now() - SEEN)
    .order_by(workers.c.id, workers.c.model)
)


class ModelWorkers(NamedTuple):
    """How many living processes have a model loaded, how many of these work on it, and the inputs done.

    Those are of all processes on the list, living or dead; the number falls when one leaves it.
    """

    ready: int
    busy: int
    inputs_done: int


_LIVING = workers.c.seen_at > func.now() - ALIVE
BY_MODEL = select(
    workers.c.model,
    func.count().filter(_LIVING),
    func.count().filter(_LIVING, workers.c.working_since.is_not(None)),
    func.sum(workers.c.inputs_done),
).group_by(workers.c.model)


async def by_model(connection: AsyncConnection) -> dict[str, ModelWorkers]:
    rows = await connection.execute(BY_MODEL)
    return {model: ModelWorkers(ready, busy, int(done)) for model, ready, busy, done in rows}
