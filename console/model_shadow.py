"""What versions that are not live say: of a model's newest inputs beside the live version, and of one task."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from console.page import Visit
from handler.auth.caller import ANYBODY, LEADS
from handler.models import KnownModel
from handler.services import Services
from store import shadow_scores
from store.model_tables import State
from store.shadow_scores import ShadowScores

NEWEST = 5_000
"""Scores of a shadow that are compared: 20 to 60 ms beside 2 million of them."""

TOP = 100
"""The highest scores, of which is said what comes and goes."""

SHOWN = 10
"""Inputs that are listed of those that move, and of those that the versions place far apart."""

COMPARED = 2
"""Shadows of a model that its page compares: those that were added last."""


OF_TASK = 50
"""Scores of other versions that a task's page shows."""


@dataclass(frozen=True)
class ShadowPanel:
    """A shadow beside the live version."""

    live: str
    shadow: str
    scores: ShadowScores


async def of_task(visit: Visit, task_id: UUID) -> Sequence[Row[Any]]:
    """Return what other versions say of a task's inputs; nothing for roles that may not know of other versions."""
    if visit.caller.role not in LEADS:
        return []
    async with visit.services.results.connection() as connection:
        return await shadow_scores.of_task(connection, task_id, OF_TASK)


async def shadows(visit: Visit, live: KnownModel | None) -> Sequence[ShadowPanel]:
    """Compare a live model's shadows; nothing for roles that may not know of all clients' predictions."""
    if visit.caller.role not in LEADS or live is None or live.spec.score is None:
        return []
    registry = visit.services.models.registry
    versions = registry.versions_of(live.spec.name)
    names = [one.version for one in versions if registry.state(one) is State.SHADOW and one.spec.score is not None]
    return [
        await visit.console.shared.get(
            ("shadow", live.spec.name, live.version.version, name), partial(_look, visit.services, live, name)
        )
        for name in reversed(names[-COMPARED:])
    ]


async def _look(services: Services, live: KnownModel, shadow: str) -> ShadowPanel:
    assert live.spec.score is not None  # noqa: S101 - shadows has looked
    version = live.version.version
    async with services.lists.reading(ANYBODY) as connection:  # one look for all who ask
        scores = await shadow_scores.beside_live(
            connection, (live.spec.table, live.spec.score), (live.spec.name, version, shadow), NEWEST, TOP, SHOWN
        )
    return ShadowPanel(version, shadow, scores)
