"""Outcomes: report what became known about predictions, and list what was reported."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from handler.answer.outcomes import PERSONAL, OutcomePage, SeveralPredictions, StoredOutcomes, shown
from handler.auth.caller import EVERY_ROLE, REPORTERS, REVIEWERS, Caller
from handler.http import body
from handler.http.body import JSON, JsonResponse, model_response
from handler.http.json_schema import inlined
from handler.http.operation import Operation, success
from handler.http.parameters import Time, described_parameters, invalid_parameters, validated
from handler.http.request import ApiRequest
from handler.problems import ProblemKind
from handler.services import Services
from handler.submit.outcomes import OUTCOMES, Declared, NewOutcome, ReadOutcomes, declared, read_outcomes
from serving.contract import NO_NUL
from store import draws, matching, outcomes
from store.draws import Said
from store.keys import Role
from store.matching import Given


class OutcomesQuery(BaseModel):
    """What the outcomes of a request have in common."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(
        None,
        max_length=64,
        pattern=NO_NUL,
        description="The model of the outcomes that name none",
        examples=["report_scorer"],
    )


async def add_outcomes(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Store outcomes of predictions, and end the leases of their reviewer. Repeated, it changes nothing.

    An outcome by a key is about every prediction with that key. One that comes before its prediction waits, and is
    found as soon as the prediction is there. A key of the role `submit` reports on its own client's predictions only;
    `triage` and `admin` on everybody's. Besides JSON it takes NDJSON, CSV and Arrow, with the fields as columns.
    """
    asked = validated(OutcomesQuery, request.query_params)
    return model_response(await store(services, await read_outcomes(request, services, asked.model), request.caller))


async def store(services: Services, read: ReadOutcomes, caller: Caller) -> StoredOutcomes:
    """Store valid outcomes, and end the leases of their reviewers."""
    client, everyones = caller.client, caller.role is not Role.SUBMIT
    # Which predictions they fit depends on no outcome, so PostgreSQL looks while it stores.
    stored, (matched, several) = await asyncio.gather(
        _stored(services, read, caller, everyones=everyones), _matched(services, read, client, everyones=everyones)
    )
    count = len(read.columns["model"])
    return StoredOutcomes(
        stored=stored, repeated=count - stored, matched=matched, waiting=count - matched, several=several
    )


async def _stored(services: Services, read: ReadOutcomes, caller: Caller, *, everyones: bool) -> int:
    """Store them durably and return how many are new."""
    async with services.engine.begin() as connection:
        stored = await outcomes.add(connection, read.columns, caller.client, everyones=everyones)
        if caller.role in REVIEWERS:
            await _end_leases(connection, read, caller.client)
    return stored


def _places(read: ReadOutcomes, model: str, client: str | None, *, everyones: bool) -> tuple[Sequence[int], Given]:
    """Return the positions of a model's outcomes in the request, and their places."""
    columns = [read.columns[name] for name in ("key", "task_id", "position")]
    if len(read.models) == 1:
        return range(len(columns[0])), Given(columns[0], columns[1], columns[2], client, everyones)
    numbers = [number for number, name in enumerate(read.columns["model"]) if name == model]
    keys, task_ids, positions = ([column[number] for number in numbers] for column in columns)
    return numbers, Given(keys, task_ids, positions, client, everyones)


async def _end_leases(connection: AsyncConnection, read: ReadOutcomes, client: str | None) -> None:
    for model, one in read.models.items():
        undecided = await draws.undecided(connection, model, one.spec.table, one.key, client)
        if undecided:
            await draws.decide(connection, undecided, _said(read, model))


def _said(read: ReadOutcomes, model: str) -> list[Said]:
    columns = (read.columns[name] for name in (*Said._fields, "model", "withdrawn"))
    rows = zip(*columns, strict=True)
    return [Said(*row) for *row, name, withdrawn in rows if name == model and not withdrawn]


async def _matched(
    services: Services, read: ReadOutcomes, client: str | None, *, everyones: bool
) -> tuple[int, list[SeveralPredictions]]:
    """Count the outcomes that fit predictions, and list those that fit several."""
    matched, several = 0, []
    for model, one in read.models.items():
        numbers, given = _places(read, model, client, everyones=everyones)
        async with services.engine.begin() as connection:
            found = await matching.count(connection, one.spec.table, one.key, given)
        matched += found.matched
        several += [
            SeveralPredictions(position=numbers[n], key=given.keys[n], predictions=count) for n, count in found.several
        ]
    return matched, several[: matching.SHOWN]


class OutcomeFilter(BaseModel):
    """Which outcomes to list."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(
        None, max_length=64, pattern=NO_NUL, description="Only of this model", examples=["report_scorer"]
    )
    key: str | None = Field(
        None, max_length=200, pattern=NO_NUL, description="Only with this key of the caller's own", examples=["r-1"]
    )
    task_id: UUID | None = Field(None, description="Only of this task")
    outcome: str | None = Field(
        None, max_length=64, pattern=NO_NUL, description="Only of this kind", examples=["abuse"]
    )
    reviewer: str | None = Field(
        None, max_length=100, pattern=NO_NUL, description="Only by this reviewer", examples=["ada"]
    )
    source: str | None = Field(
        None, max_length=100, pattern=NO_NUL, description="Only from this source", examples=["moderation"]
    )
    decided_after: Time | None = Field(None, description="RFC 3339, included", examples=["2026-01-31T09:00:00Z"])
    decided_before: Time | None = Field(None, description="RFC 3339, not included", examples=["2026-02-01T09:00:00Z"])
    received_after: Time | None = Field(None, description="RFC 3339, included", examples=["2026-01-31T09:00:00Z"])
    received_before: Time | None = Field(None, description="RFC 3339, not included", examples=["2026-02-01T09:00:00Z"])
    before: int | None = Field(None, ge=1, le=2**62, description="`next` of the page before")
    limit: int = Field(100, ge=1, le=1000, description="How many outcomes a page has at most")


async def list_outcomes(request: ApiRequest, services: Services, client: str | None) -> Response:
    """List outcomes, the ones stored last first: your own, or with a role that reads every client's, all of them."""
    asked, caller = validated(OutcomeFilter, request.query_params), request.caller
    hidden = [name for name in PERSONAL if caller.masked and getattr(asked, name) is not None]
    if hidden:
        detail = f"The role {caller.role} does not see it, and cannot filter by it"
        raise invalid_parameters([{"detail": detail, "parameter": name} for name in hidden])
    filters = {**dict(asked), "limit": asked.limit + 1, "client": caller.confined_to}
    async with services.lists.reading(caller) as connection:
        rows = await outcomes.page(connection, **filters)
        counts = await _predictions(services, connection, rows[: asked.limit])
    page = [shown(row, counts.get(row.id, 0), caller) for row in rows[: asked.limit]]
    return JsonResponse({"outcomes": page, "next": page[-1]["id"] if len(rows) > asked.limit else None})


async def _predictions(services: Services, connection: AsyncConnection, rows: Sequence[Row[Any]]) -> dict[int, int]:
    """Return how many predictions each of these outcomes is about."""
    counts: dict[int, int] = {}
    for model in {row.model for row in rows}:
        one: Declared | None = await declared(services, model)
        if one is not None:
            ids = [row.id for row in rows if row.model == model]
            counts |= await matching.predictions_of(connection, model, one.spec.table, one.key, ids)
    return counts


_BODY = {
    "required": True,
    "content": {
        JSON: {
            "schema": {
                "type": "array",
                "items": inlined(NewOutcome.model_json_schema()),
                "minItems": 1,
                "maxItems": OUTCOMES.max_inputs,
            }
        }
    },
}

OPERATIONS = [
    Operation(
        *("POST", "/outcomes", add_outcomes, "outcomes"),
        responses=success(StoredOutcomes, "All outcomes are stored durably"),
        problems=(
            *(*body.PROBLEMS, ProblemKind.WRONG_CONTENT_TYPE, ProblemKind.INVALID_JSON),
            *(ProblemKind.INVALID_INPUT, ProblemKind.TOO_MANY_INPUTS),
        ),
        request={"parameters": described_parameters(OutcomesQuery), "requestBody": _BODY},
        roles=REPORTERS,
    ),
    Operation(
        *("GET", "/outcomes", list_outcomes, "outcomes"),
        responses=success(OutcomePage, "One page of outcomes"),
        problems=(ProblemKind.LISTS_BUSY,),
        request={"parameters": described_parameters(OutcomeFilter)},
        roles=EVERY_ROLE,
    ),
]
