"""Triage: lease predictions to reviewers, note what they saw and gave back, and say how reviews go."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from handler.answer.triage import (
    Agreement,
    ChangedLeases,
    DrawCounts,
    DrawsSummary,
    LeaseIds,
    LeaseRequest,
    PairAgreement,
    ReviewLeases,
)
from handler.auth.caller import LEADS, REVIEWERS, Caller
from handler.http import body
from handler.http.body import JSON, JsonResponse, model_response, parse_json
from handler.http.json_schema import inlined
from handler.http.operation import Operation, success
from handler.http.parameters import Time, described_parameters, validated
from handler.http.request import ApiRequest
from handler.problems import ProblemKind, RequestRefused
from handler.services import Services
from handler.submit import validation
from handler.triage.leases import lease
from serving.agreement import cohen_kappa, krippendorff_alpha
from serving.contract import NO_NUL
from store import draws, reviews


async def lease_predictions(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Lease predictions without an outcome to a reviewer: the highest scores first, and a share at random.

    Nobody else gets them until the lease ends: with an outcome of this reviewer, a release, or its time. Each draw is
    noted with its chance (`draws`), for statistics that know why a prediction was reviewed.
    """
    asked = validation.model_of(LeaseRequest, parse_json(await services.bodies.read_as(request, JSON)))
    return JsonResponse(await lease(services, asked, client))


async def note_shown(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Note that predictions were displayed to their reviewer; only that counts as shown. Their leases begin anew."""
    return model_response(await show(services, await _leases(request, services), client))


async def release_leases(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Give predictions back. Other reviewers may get them, and this one does not get them again."""
    return model_response(await release(services, await _leases(request, services), client))


async def _leases(request: ApiRequest, services: Services) -> LeaseIds:
    return validation.model_of(LeaseIds, parse_json(await services.bodies.read_as(request, JSON)))


async def show(services: Services, given: LeaseIds, client: str | None) -> ChangedLeases:
    """Note that a reviewer has seen these predictions. Raises RequestRefused for a lease that is not the client's."""
    time = timedelta(seconds=services.settings.triage_lease_seconds)
    return await _change(services, client, given, lambda connection, ids: draws.show(connection, ids, client, time))


async def release(services: Services, given: LeaseIds, client: str | None) -> ChangedLeases:
    """Give these predictions back, for others. Raises RequestRefused for a lease that is not the client's."""
    return await _change(services, client, given, lambda connection, ids: draws.release(connection, ids, client))


async def _change(
    services: Services,
    client: str | None,
    given: LeaseIds,
    change: Callable[[AsyncConnection, list[int]], Awaitable[list[int]]],
) -> ChangedLeases:
    ids = sorted(set(given.leases))
    async with services.engine.begin() as connection:
        if unknown := set(ids) - await draws.known(connection, ids, client):
            detail = f"Unknown lease {min(unknown)}: no lease of yours has this id. Nothing was changed."
            raise RequestRefused(ProblemKind.UNKNOWN_LEASE, detail)
        changed = await change(connection, ids)
    return ChangedLeases(changed=changed, ended=sorted(set(ids) - set(changed)))


class ReviewPeriod(BaseModel):
    """Which draws to look at."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(max_length=64, pattern=NO_NUL, description="The model", examples=["report_scorer"])
    drawn_after: Time = Field(
        datetime(2000, 1, 1, tzinfo=UTC), description="RFC 3339, included", examples=["2026-01-31T09:00:00Z"]
    )
    drawn_before: Time = Field(
        datetime(8000, 1, 1, tzinfo=UTC), description="RFC 3339, not included", examples=["2026-02-01T09:00:00Z"]
    )


async def summarize_draws(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Say what became of a model's draws: how many were shown, decided, given back, and never decided."""
    return model_response(await draws_of(services, validated(ReviewPeriod, request.query_params), request.caller))


async def draws_of(services: Services, asked: ReviewPeriod, caller: Caller) -> DrawsSummary:
    """Count what became of a model's draws."""
    async with services.lists.reading(caller) as connection:
        rows = await reviews.counts(connection, asked.model, asked.drawn_after, asked.drawn_before)
    policies = [DrawCounts(**row._asdict()) for row in rows]
    lost = sum(one.released + one.expired for one in policies)
    total = sum(one.drawn for one in policies)
    return DrawsSummary(model=asked.model, drawn=total, never_decided=lost, policies=policies)


async def read_agreement(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Say how far reviewers agree beyond chance, on the share of predictions that two of them have reviewed."""
    return model_response(await agreement_of(services, validated(ReviewPeriod, request.query_params), request.caller))


async def agreement_of(services: Services, asked: ReviewPeriod, caller: Caller) -> Agreement:
    """Compare what two reviewers have decided of the same predictions; names are left out for masked roles."""
    async with services.lists.reading(caller) as connection:
        rows = await reviews.pairs(connection, asked.model, asked.drawn_after, asked.drawn_before)
    of_pair: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        said = {row.first_reviewer: row.first_outcome, row.second_reviewer: row.second_outcome}
        first, second = sorted(said)
        of_pair[first, second].append((said[first], said[second]))
    pairs = [
        PairAgreement(
            reviewers=None if caller.masked else reviewers,
            predictions=len(decided),
            agreed=_agreed(decided),
            kappa=cohen_kappa(decided),
        )
        for reviewers, decided in sorted(of_pair.items())
    ]
    units = [unit for decided in of_pair.values() for unit in decided]
    return Agreement(
        model=asked.model,
        predictions=len(units),
        agreed=_agreed(units),
        alpha=krippendorff_alpha(units),
        pairs=pairs,
    )


def _agreed(decided: list[tuple[str, str]]) -> int:
    return sum(first == second for first, second in decided)


def _takes(model: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {JSON: {"schema": inlined(model.model_json_schema())}}}}


_BODY = (
    *(*body.PROBLEMS, ProblemKind.WRONG_CONTENT_TYPE, ProblemKind.INVALID_JSON),
    ProblemKind.INVALID_INPUT,
)
_PERIOD = {"parameters": [{**one, "required": one["name"] == "model"} for one in described_parameters(ReviewPeriod)]}

OPERATIONS = [
    Operation(
        *("POST", "/triage/leases", lease_predictions, "outcomes"),
        responses=success(ReviewLeases, "The reviewer holds these predictions"),
        problems=(*_BODY, ProblemKind.UNKNOWN_MODEL, ProblemKind.NOT_REVIEWABLE),
        request=_takes(LeaseRequest),
        roles=REVIEWERS,
    ),
    Operation(
        *("POST", "/triage/shown", note_shown, "outcomes"),
        responses=success(ChangedLeases, "It is noted"),
        problems=(*_BODY, ProblemKind.UNKNOWN_LEASE),
        request=_takes(LeaseIds),
        roles=REVIEWERS,
    ),
    Operation(
        *("POST", "/triage/release", release_leases, "outcomes"),
        responses=success(ChangedLeases, "Others may get them"),
        problems=(*_BODY, ProblemKind.UNKNOWN_LEASE),
        request=_takes(LeaseIds),
        roles=REVIEWERS,
    ),
    Operation(
        *("GET", "/triage/draws", summarize_draws, "outcomes"),
        responses=success(DrawsSummary, "The counts"),
        problems=(ProblemKind.LISTS_BUSY,),
        request=_PERIOD,
        roles=LEADS,
    ),
    Operation(
        *("GET", "/triage/agreement", read_agreement, "outcomes"),
        responses=success(Agreement, "The agreement"),
        problems=(ProblemKind.LISTS_BUSY,),
        request=_PERIOD,
        roles=LEADS,
    ),
]
