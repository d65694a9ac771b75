"""A reviewer's decision, and that he takes it back: stored as outcomes by the API's own function."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from console.page import Visit
from handler.routes import outcomes as api
from handler.submit.outcomes import ReadOutcomes, outcomes_of
from handler.triage.holding import lease_of, reopen
from store import holdings


async def decide(visit: Visit, lease: int, said: Mapping[str, Any]) -> bool:
    """Store what the lease's reviewer says of its prediction: `outcome` or `value`, and `decided_at`.

    Repeated, it changes nothing. Returns False, and stores nothing, where the reviewer has taken back what he decided
    at this time: the form is an old one. Raises RequestRefused.
    """
    async with visit.services.engine.connect() as connection:
        found = await lease_of(connection, lease, visit.caller.client)
        read = await _read(visit, found, said)
        if await holdings.is_withdrawn(connection, lease, visit.caller.client, _time(read)):
            return False
    await api.store(visit.services, read, visit.caller)
    return True


async def undo(visit: Visit, lease: int, decided_at: str) -> bool:
    """Withdraw the decision of this time, and return whether the reviewer holds the prediction again.

    The lease is open before the decision is withdrawn, so that nobody else can get the prediction in between. A
    withdrawal has the time of its decision: repeated it changes nothing, and it takes away no later one. Raises
    RequestRefused.
    """
    async with visit.services.engine.connect() as connection:
        found = await lease_of(connection, lease, visit.caller.client)
    read = await _read(visit, found, {"decided_at": decided_at, "withdrawn": True})
    holds = await reopen(visit.services, found, visit.caller.client, _time(read))
    await api.store(visit.services, read, visit.caller)
    return holds


async def _read(visit: Visit, lease: Row[Any], said: Mapping[str, Any]) -> ReadOutcomes:
    about = {"task_id": str(lease.task_id), "position": lease.position, "reviewer": lease.reviewer}
    return await outcomes_of(visit.services, [{"model": lease.model, **about, **said}])


def _time(read: ReadOutcomes) -> datetime:
    decided_at: datetime = read.columns["decided_at"][0]
    return decided_at
