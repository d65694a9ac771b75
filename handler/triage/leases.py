"""Leases predictions to a reviewer: second reviews first, then draws from the pool."""

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from handler.answer.triage import LeaseRequest
from handler.problems import ProblemKind, RequestRefused
from handler.services import Services
from handler.settings import HandlerSettings
from handler.submit.outcomes import Declared, declared
from handler.triage.drawing import draw
from handler.triage.filters import condition
from serving.contract import Spec
from store import draws, triage_pool
from store.draws import NewDraw
from store.outcome_tables import Policy
from store.triage_pool import Asked, Reviewable

HELD = 100
"""Predictions of a model that one reviewer may hold at once."""

ANONYMOUS = "anonymous"
"""The reviewer with AUTH=off, where the request names none."""

_COIN = random.SystemRandom()


async def lease(services: Services, asked: LeaseRequest, client: str | None) -> dict[str, Any]:
    """Draw predictions, note the draws, and return the leases. Raises RequestRefused."""
    model = await reviewed(services, asked.model)
    where = condition(model.spec, asked.filter)
    assert model.spec.score is not None  # noqa: S101 - reviewed has looked
    pool = Asked(
        *(asked.model, model.spec.table, model.key, model.spec.score),
        reviewer=asked.reviewer or client or ANONYMOUS,
        condition=where.sql,
        values=where.values,
    )
    settings = services.settings
    async with services.triage.begin() as connection:
        await draws.alone(connection, asked.model)
        held = await draws.held(connection, asked.model, pool.reviewer)
        drawn, size = await _draw(connection, pool, min(asked.n, HELD - held), settings)
        filtered = msgspec.json.encode(asked.filter).decode()
        time = timedelta(seconds=settings.triage_lease_seconds)
        noted = await draws.note(connection, pool, client, filtered, time, drawn) if drawn else []
        columns = shown_columns(model.spec)
        rows = await triage_pool.inputs(connection, pool.table, columns, [one.place for one in drawn]) if drawn else {}
    leases = [
        {
            "lease_id": one.id,
            "lease_until": one.lease_until,
            "model": asked.model,
            "task_id": one.task_id,
            "position": one.position,
            **shown(model.spec, rows[Reviewable(one.task_id, one.position)], hidden=one.policy != Policy.RANKED),
        }
        for one in noted
    ]
    return {"leases": leases, "pool": size, "held": held + len(leases)}


async def reviewed(services: Services, name: str) -> Declared:
    """Return a model whose predictions can be reviewed. Raises RequestRefused."""
    found = await declared(services, name)
    if name not in services.models.registry.models:
        raise RequestRefused(ProblemKind.UNKNOWN_MODEL, f"There is no model {name!r}.")
    if found is None or found.spec.score is None:
        lacks = "declares no outcomes" if found is None else "has no output between 0 and 1 to rank by"
        raise RequestRefused(ProblemKind.NOT_REVIEWABLE, f"The model {name} {lacks}.")
    return found


async def _draw(
    connection: AsyncConnection, asked: Asked, n: int, settings: HandlerSettings
) -> tuple[list[NewDraw], int]:
    """Return what the reviewer gets, and how many predictions could have been drawn."""
    drawn = [
        NewDraw(second.place, Policy.SECOND, second_of=second.draw)
        for second in await triage_pool.seconds(connection, asked, n)
    ]
    pool = await triage_pool.pool(connection, asked, n, settings.triage_pool)
    found = draw(pool.top, pool.shuffled, pool.size, n - len(drawn), settings.triage_random_share, _COIN.random)
    drawn += [replace(NewDraw(*one), second_pending=_COIN.random() < settings.triage_second_share) for one in found]
    return drawn, pool.size


def shown_columns(spec: Spec) -> list[str]:
    """Return the columns that a reviewer sees: the inputs, and last the score."""
    return [*(column.name for column in spec.input_columns), spec.score or ""]


def shown(spec: Spec, row: Any, *, hidden: bool) -> dict[str, Any]:
    """Return a prediction as a lease has it, from its `shown_columns`."""
    *inputs, score = row
    named = {spec.public_names[column.name]: value for column, value in zip(spec.input_columns, inputs, strict=True)}
    return {"score": None if hidden else score, "input": named}
