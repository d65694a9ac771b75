"""How reviews go: what became of the draws, and what two reviewers have decided of the same predictions."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.outcome_tables import Ending

_COUNTS = text(f"""
SELECT policy, count(*) AS drawn, count(shown_at) AS shown,
    count(*) FILTER (WHERE ending = '{Ending.DECIDED}') AS decided,
    count(*) FILTER (WHERE ending = '{Ending.RELEASED}') AS released,
    count(*) FILTER (WHERE ending = '{Ending.EXPIRED}' OR ended_at IS NULL AND lease_until <= now()) AS expired,
    count(*) FILTER (WHERE ended_at IS NULL AND lease_until > now()) AS held
FROM draws
WHERE model = :model AND drawn_at >= :since AND drawn_at < :until
GROUP BY policy ORDER BY policy
""")

_PAIRS = text(f"""
SELECT first.reviewer AS first_reviewer, first.outcome AS first_outcome, second.reviewer AS second_reviewer,
    second.outcome AS second_outcome
FROM draws AS second JOIN draws AS first ON first.id = second.second_of
WHERE second.model = :model AND second.drawn_at >= :since AND second.drawn_at < :until
    AND second.ending = '{Ending.DECIDED}' AND first.outcome IS NOT NULL AND second.outcome IS NOT NULL
""")


async def counts(connection: AsyncConnection, model: str, since: datetime, until: datetime) -> list[Row[Any]]:
    """Return what became of the model's draws in this time, by policy."""
    return list(await connection.execute(_COUNTS, {"model": model, "since": since, "until": until}))


async def pairs(connection: AsyncConnection, model: str, since: datetime, until: datetime) -> list[Row[Any]]:
    """Return what both reviewers decided of each prediction that was reviewed twice."""
    return list(await connection.execute(_PAIRS, {"model": model, "since": since, "until": until}))


NEWEST = 20_000
"""Draws whose decisions make the pace: so the cost does not grow with the table."""

_PACE = text(f"""
SELECT reviewer, count(*) FILTER (WHERE ended_at > now() - interval '1 hour') AS last_hour, count(*) AS last_day,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - shown_at)) AS seconds,
    max(ended_at) AS latest
FROM draws
WHERE id > (SELECT max(id) FROM draws) - {NEWEST} AND model = :model AND ending = '{Ending.DECIDED}'
    AND ended_at > now() - interval '1 day'
GROUP BY reviewer ORDER BY last_day DESC, reviewer
""")


async def pace(connection: AsyncConnection, model: str) -> list[Row[Any]]:
    """Return what each reviewer decided in the last hour and day, and in how many seconds (the median)."""
    return list(await connection.execute(_PACE, {"model": model}))
