"""The log of draws: who got which prediction, and what became of it.

Draws of one model come one after another (`alone`), so that each has a chance given the earlier ones. That nobody gets
what another one holds is also the table's unique index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store import matching
from store.matching import KeyOf
from store.outcome_tables import Ending, Policy
from store.triage_pool import Asked, Reviewable

SECONDS = 10
"""How long one statement may take, and wait for the draws of others."""

_LIMITED = text(f"SELECT set_config('statement_timeout', '{SECONDS}s', true), set_config('jit', 'off', true)")
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('millrace draws ' || :model, 0))")
_EXPIRE = text(f"""
UPDATE draws SET ended_at = lease_until, ending = '{Ending.EXPIRED}'
WHERE model = :model AND ended_at IS NULL AND lease_until < clock_timestamp()
""")


async def alone(connection: AsyncConnection, model: str) -> None:
    """Let this transaction alone draw predictions of the model, and end the leases whose time is over."""
    await connection.execute(_LIMITED)
    await connection.execute(_ALONE, {"model": model})
    await connection.execute(_EXPIRE, {"model": model})


_HELD = text("SELECT count(*) FROM draws WHERE model = :model AND reviewer = :reviewer AND ended_at IS NULL")


async def held(connection: AsyncConnection, model: str, reviewer: str) -> int:
    """Return how many predictions the reviewer holds."""
    return int((await connection.execute(_HELD, {"model": model, "reviewer": reviewer})).scalar_one())


@dataclass(frozen=True)
class NewDraw:
    """A draw to be noted; a second review has no pool and no chance."""

    place: Reviewable
    policy: Policy
    pool: int | None = None
    chance: float | None = None
    second_pending: bool = False
    second_of: int | None = None


_NOTE = text("""
INSERT INTO draws (model, task_id, position, client, reviewer, policy, filter, pool, chance, second_pending, second_of,
                   lease_until)
SELECT :model, task_id, position, :client, :reviewer, policy, CAST(:filter AS jsonb), pool, chance, second_pending,
    second_of, clock_timestamp() + CAST(:lease AS interval)
FROM unnest(CAST(:task_ids AS uuid[]), CAST(:positions AS integer[]), CAST(:policies AS text[]),
            CAST(:pools AS integer[]), CAST(:chances AS double precision[]), CAST(:pending AS boolean[]),
            CAST(:seconds AS bigint[]))
    WITH ORDINALITY AS g (task_id, position, policy, pool, chance, second_pending, second_of, n)
ORDER BY n
RETURNING id, task_id, position, policy, lease_until
""")


async def note(
    connection: AsyncConnection,
    asked: Asked,
    client: str | None,
    filtered: str,
    lease: timedelta,
    drawn: Sequence[NewDraw],
) -> list[Row[Any]]:
    """Store draws in their order, with the filter as JSON; return (id, task_id, position, policy, lease_until)."""
    values = {
        "model": asked.model,
        "client": client,
        "reviewer": asked.reviewer,
        "filter": filtered,
        "lease": lease,
        "task_ids": [one.place.task_id for one in drawn],
        "positions": [one.place.position for one in drawn],
        "policies": [str(one.policy) for one in drawn],
        "pools": [one.pool for one in drawn],
        "chances": [one.chance for one in drawn],
        "pending": [one.second_pending for one in drawn],
        "seconds": [one.second_of for one in drawn],
    }
    return sorted((await connection.execute(_NOTE, values)).all(), key=lambda row: int(row.id))


_OPEN = "ended_at IS NULL AND lease_until > clock_timestamp()"
_OWN = "id = ANY(CAST(:ids AS bigint[])) AND client IS NOT DISTINCT FROM :client"
_KNOWN = text(f"SELECT id FROM draws WHERE {_OWN}")
_SHOW = text(f"""
UPDATE draws SET shown_at = coalesce(shown_at, now()), lease_until = clock_timestamp() + CAST(:lease AS interval)
WHERE {_OWN} AND {_OPEN} RETURNING id
""")
_RELEASE = text(
    f"UPDATE draws SET ended_at = now(), ending = '{Ending.RELEASED}' WHERE {_OWN} AND {_OPEN} RETURNING id"
)


async def known(connection: AsyncConnection, ids: Sequence[int], client: str | None) -> set[int]:
    """Return those of these leases that there are, or were, of the client."""
    return set(await _ids(connection, _KNOWN, {"ids": list(ids), "client": client}))


async def show(connection: AsyncConnection, ids: Sequence[int], client: str | None, lease: timedelta) -> list[int]:
    """Note that a reviewer has seen these predictions, and let their leases begin anew; return the open ones."""
    return await _ids(connection, _SHOW, {"ids": list(ids), "client": client, "lease": lease})


async def release(connection: AsyncConnection, ids: Sequence[int], client: str | None) -> list[int]:
    """Give these predictions back, for others; return the leases that were open."""
    return await _ids(connection, _RELEASE, {"ids": list(ids), "client": client})


async def _ids(connection: AsyncConnection, statement: Any, values: Mapping[str, Any]) -> list[int]:
    return sorted((await connection.execute(statement, values)).scalars())


class Said(NamedTuple):
    """What was reported of a prediction: by its key, or by its task and position."""

    key: str | None
    task_id: str | None
    position: int | None
    reviewer: str | None
    outcome: str | None


LATE = "1 day"
"""How long after its time a lease can still end with an outcome, if nobody else got the prediction."""


def _undecided(table: str, key: KeyOf | None) -> TextClause:
    of_key = f'CAST(p."{key.column}" AS text)' if key else "CAST(NULL AS text)"
    columns = f'd.id, d.task_id, d.position, d.reviewer, {of_key} AS key FROM draws AS d JOIN "{table}" AS p'
    place = "p.task_id = d.task_id AND p.position = d.position"
    own = "d.model = :model AND d.client IS NOT DISTINCT FROM :client"
    return text(f"""
        SELECT {columns} ON {place} WHERE {own} AND d.ended_at IS NULL
        UNION ALL
        SELECT {columns} ON {place}
        WHERE {own} AND d.ending = '{Ending.EXPIRED}' AND d.ended_at > now() - interval '{LATE}' AND NOT EXISTS (
            SELECT FROM draws AS later
            WHERE later.task_id = d.task_id AND later.position = d.position AND later.id > d.id
        )
    """)


_DECIDE = text(f"""
WITH ended AS (
    UPDATE draws SET ended_at = now(), ending = '{Ending.DECIDED}', outcome = g.outcome
    FROM unnest(CAST(:ids AS bigint[]), CAST(:kinds AS text[])) AS g (id, outcome)
    WHERE draws.id = g.id AND (draws.ended_at IS NULL OR draws.ending = '{Ending.EXPIRED}')
    RETURNING draws.second_of
)
UPDATE draws SET second_pending = false FROM ended WHERE draws.id = ended.second_of
""")


async def undecided(
    connection: AsyncConnection, model: str, table: str, key: KeyOf | None, client: str | None
) -> Sequence[Row[Any]]:
    """Return the leases of this client's reviewers that an outcome can still end."""
    await connection.execute(matching.BY_INDEX)
    return (await connection.execute(_undecided(table, key), {"model": model, "client": client})).all()


async def decide(connection: AsyncConnection, leases: Sequence[Row[Any]], said: Sequence[Said]) -> None:
    """End those of these undecided leases of which something was reported.

    What has no reviewer ends them whoever of the client holds them.
    """
    found: dict[Any, list[Said]] = {}
    for one in said:
        place = one.key if one.task_id is None else (one.task_id.lower(), one.position)
        found.setdefault(place, []).append(one)
    ended: dict[int, str | None] = {}
    for lease in leases:
        reported = [*found.get((str(lease.task_id), lease.position), ()), *found.get(lease.key, ())]
        kinds = [one.outcome for one in reported if one.reviewer in (None, lease.reviewer)]
        if kinds:
            ended[lease.id] = kinds[-1]
    if ended:
        await connection.execute(_DECIDE, {"ids": list(ended), "kinds": list(ended.values())})
