"""What one reviewer holds of a model and has decided last, and his lease begun anew after he has taken that back."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.draws import alone
from store.outcome_tables import Ending

NEWEST = 10_000
"""Draws among which a reviewer's last decisions are looked for: so the cost does not grow with the table."""

RECENT = 20
"""Decisions of a reviewer among which the last one that stands is looked for."""


class Reviewer(NamedTuple):
    """Who reviews: a name, and the client whose key he uses. None: AUTH is off."""

    name: str
    client: str | None


class Decision(NamedTuple):
    """What a reviewer has said of a prediction of his."""

    lease: int
    task_id: UUID
    position: int
    outcome: str | None
    value: float | None
    decided_at: datetime


_HELD = text("""
SELECT id, task_id, position, policy, lease_until, shown_at, CAST(filter AS text) AS filter FROM draws
WHERE model = :model AND reviewer = :reviewer AND client IS NOT DISTINCT FROM :client
    AND ended_at IS NULL AND lease_until > clock_timestamp()
ORDER BY shown_at IS NULL, id
""")

_FIND = text("""
SELECT id, model, task_id, position, reviewer, ending FROM draws WHERE id = :id AND client IS NOT DISTINCT FROM :client
""")

_SAID = """o.model = d.model AND o.task_id = d.task_id AND o.position = d.position AND o.reviewer = d.reviewer
    AND o.source IS NULL AND o.client IS NOT DISTINCT FROM d.client"""

_LAST = text(f"""
SELECT d.id, d.task_id, d.position, said.outcome, said.value, said.decided_at
FROM (
    SELECT * FROM draws
    WHERE id > (SELECT max(id) FROM draws) - {NEWEST} AND model = :model AND reviewer = :reviewer
        AND client IS NOT DISTINCT FROM :client AND ending = '{Ending.DECIDED}'
    ORDER BY ended_at DESC, id DESC LIMIT {RECENT}
) AS d
JOIN LATERAL (
    SELECT o.outcome, o.value, o.decided_at, o.withdrawn FROM outcomes AS o WHERE {_SAID}
    ORDER BY o.decided_at DESC, o.id DESC LIMIT 1
) AS said ON NOT said.withdrawn
ORDER BY d.ended_at DESC, d.id DESC LIMIT 1
""")

_WITHDRAWN = text(f"""
SELECT EXISTS (
    SELECT FROM draws AS d JOIN outcomes AS o ON {_SAID}
    WHERE d.id = :id AND d.client IS NOT DISTINCT FROM :client AND o.withdrawn AND o.decided_at >= :decided_at
)
""")

_REOPEN = text(f"""
UPDATE draws AS d SET ended_at = NULL, ending = NULL, outcome = NULL,
    lease_until = clock_timestamp() + CAST(:lease AS interval)
WHERE d.id = :id AND d.client IS NOT DISTINCT FROM :client AND d.ending = '{Ending.DECIDED}'
    AND NOT EXISTS (
        SELECT FROM draws AS later WHERE later.task_id = d.task_id AND later.position = d.position AND later.id > d.id
            AND (later.ended_at IS NULL OR later.second_of IS NULL)
    )
    AND NOT EXISTS (SELECT FROM outcomes AS o WHERE {_SAID} AND NOT o.withdrawn AND o.decided_at > :decided_at)
RETURNING d.id
""")


async def held(connection: AsyncConnection, model: str, who: Reviewer) -> list[Row[Any]]:
    """Return the open leases, those that were displayed first, each with its filter as JSON."""
    return list(await connection.execute(_HELD, _of(model, who)))


async def find(connection: AsyncConnection, lease: int, client: str | None) -> Row[Any] | None:
    """Return a lease of the client, open or not."""
    return (await connection.execute(_FIND, {"id": lease, "client": client})).one_or_none()


async def last_decision(connection: AsyncConnection, model: str, who: Reviewer) -> Decision | None:
    """Return the decision that was made last of those that stand, by task and position, under a lease."""
    row = (await connection.execute(_LAST, _of(model, who))).one_or_none()
    return None if row is None else Decision(*row)


async def is_withdrawn(connection: AsyncConnection, lease: int, client: str | None, decided_at: datetime) -> bool:
    """Return whether the lease's reviewer has taken back what he decided at this time."""
    values = {"id": lease, "client": client, "decided_at": decided_at}
    return bool((await connection.execute(_WITHDRAWN, values)).scalar_one())


async def reopen(
    connection: AsyncConnection, model: str, lease: int, client: str | None, decided_at: datetime, time: timedelta
) -> bool:
    """Let a lease that ended with the decision of this time begin anew, and return whether it does.

    It does not once the reviewer has decided again since, or somebody else has got the prediction.
    """
    await alone(connection, model)
    values = {"id": lease, "client": client, "decided_at": decided_at, "lease": time}
    return (await connection.execute(_REOPEN, values)).one_or_none() is not None


def _of(model: str, who: Reviewer) -> Mapping[str, Any]:
    return {"model": model, "reviewer": who.name, "client": who.client}
