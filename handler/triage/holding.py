"""What a reviewer holds and has decided last, for a desk that shows it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from handler.problems import ProblemKind, RequestRefused
from handler.services import Services
from handler.submit.outcomes import Declared
from handler.triage.leases import shown, shown_columns
from serving.contract import Spec
from store import holdings, triage_pool
from store.holdings import Decision, Reviewer
from store.outcome_tables import Policy
from store.triage_pool import Asked, Reviewable


@dataclass(frozen=True)
class HeldPrediction:
    """A prediction under a lease, as its reviewer sees it."""

    lease: int
    place: Reviewable
    score: float | None
    """None: hidden, as it was drawn at random or is a second review."""
    input: dict[str, Any]
    filter: dict[str, Any]
    """What the reviewer asked for when he got it."""
    shown_until: datetime | None
    """When the lease ends that begins anew with each display; None: it was not displayed yet."""


@dataclass(frozen=True)
class Holding:
    """The open leases, those that were displayed first, and the last decision that stands."""

    held: Sequence[HeldPrediction]
    last: Decision | None
    last_input: dict[str, Any] | None


async def holding(services: Services, model: Declared, who: Reviewer) -> Holding:
    """Return what the reviewer holds of the model. A prediction that was deleted meanwhile is left out."""
    spec = model.spec
    async with services.engine.begin() as connection:
        leases = await holdings.held(connection, spec.name, who)
        last = await holdings.last_decision(connection, spec.name, who)
        places = [Reviewable(one.task_id, one.position) for one in leases]
        if last is not None:
            places.append(Reviewable(last.task_id, last.position))
        rows = await triage_pool.inputs(connection, spec.table, shown_columns(spec), places) if places else {}
    held = [_held(spec, one, rows[place]) for one, place in zip(leases, places, strict=False) if place in rows]
    of_last = rows.get(places[-1]) if last else None
    return Holding(held, last, None if of_last is None else shown(spec, of_last, hidden=True)["input"])


def _held(spec: Spec, lease: Row[Any], row: Any) -> HeldPrediction:
    seen = shown(spec, row, hidden=lease.policy != Policy.RANKED)
    place = Reviewable(lease.task_id, lease.position)
    until = lease.lease_until if lease.shown_at else None
    return HeldPrediction(lease.id, place, seen["score"], seen["input"], json.loads(lease.filter), until)


async def lease_of(connection: AsyncConnection, lease: int, client: str | None) -> Row[Any]:
    """Return a lease of the client, open or not. Raises RequestRefused."""
    found = await holdings.find(connection, lease, client)
    if found is None:
        raise RequestRefused(ProblemKind.UNKNOWN_LEASE, f"Unknown lease {lease}: no lease of yours has this id.")
    return found


async def reopen(services: Services, lease: Row[Any], client: str | None, decided_at: datetime) -> bool:
    """Let a lease that ended with the decision of this time begin anew, and return whether its reviewer holds it."""
    time = timedelta(seconds=services.settings.triage_lease_seconds)
    async with services.triage.begin() as connection:
        opened = await holdings.reopen(connection, lease.model, lease.id, client, decided_at, time)
    return opened or lease.ending is None


async def left(services: Services, model: Declared) -> int:
    """Count the predictions that could be drawn now, among the newest of the model."""
    spec = model.spec
    asked = Asked(spec.name, spec.table, model.key, spec.score or "", reviewer="", condition="true", values={})
    async with services.triage.connect() as connection:
        return (await triage_pool.pool(connection, asked, 0, services.settings.triage_pool)).size
