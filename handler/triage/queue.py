"""What reviewers could get, by rank, to look at: nothing is leased, and nothing counts as shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handler.auth.caller import Caller
from handler.services import Services
from handler.settings import HandlerSettings
from handler.submit.outcomes import Declared
from handler.triage.filters import condition
from handler.triage.leases import shown, shown_columns
from store import triage_pool
from store.triage_pool import Asked, Reviewable


@dataclass(frozen=True)
class QueuedPrediction:
    """A prediction that a reviewer could get."""

    place: Reviewable
    score: float | None
    """None: hidden, as a draw might bring it to him without its score."""
    input: dict[str, Any]


def hides_scores(settings: HandlerSettings) -> bool:
    """Return whether some draws hide the score: then no list may tell it before."""
    return settings.triage_random_share > 0 or settings.triage_second_share > 0


async def queue(
    services: Services,
    caller: Caller,
    model: Declared,
    asked_for: Mapping[str, Any],
    reviewer: str,
    after: Reviewable | None,
    n: int,
) -> Sequence[QueuedPrediction]:
    """Return so many predictions that the reviewer could get, the highest scores first. Raises RequestRefused."""
    spec, where = model.spec, condition(model.spec, asked_for)
    asked = Asked(spec.name, spec.table, model.key, spec.score or "", reviewer, where.sql, where.values)
    async with services.lists.reading(caller) as connection:
        places = await triage_pool.ranked(connection, asked, after, n, services.settings.triage_pool)
        columns = shown_columns(spec)
        rows = await triage_pool.inputs(connection, spec.table, columns, places) if places else {}
    hidden = hides_scores(services.settings)
    return [QueuedPrediction(one, **shown(spec, rows[one], hidden=hidden)) for one in places if one in rows]
