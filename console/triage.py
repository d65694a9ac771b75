"""The desk where reviewers decide what a prediction is about, one after another; without script by plain forms.

A page only shows what its reviewer holds. Forms lease, decide, take back and give back, each through the function that
answers the API. The script asks for the parts that it loads ahead, and says when it displays one.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field
from starlette.responses import Response

from console import decisions, images
from console.desk import Desk, desk_of, filter_fields, remember, reviewable
from console.page import NO_MORE, Answer, Visit
from handler.answer.triage import LeaseIds, LeaseRequest
from handler.auth.caller import LEADS, REVIEWERS
from handler.routes import triage as api
from handler.submit import validation
from handler.triage.holding import HeldPrediction, holding
from handler.triage.leases import lease
from serving.explanation import explained_columns
from store import explanations

LOW, FULL = 3, 5
"""With script, a reviewer who holds fewer than `LOW` predictions gets more, up to `FULL`: they are loaded ahead."""

KNOWN = 1_000
"""Leases that a page may say it has."""

REFRESH = {"HX-Refresh": "true"}
"""Has the script load the page anew."""


class LeaseForm(BaseModel):
    """What a form says of a prediction."""

    lease: int = Field(ge=1, le=2**62)
    decided_at: str = ""
    outcome: str | None = None
    value: Annotated[float | None, BeforeValidator(lambda given: given or None)] = None


async def models(visit: Visit) -> Response:
    """Lead to the first model that can be reviewed, or say how one is declared."""
    names = await reviewable(visit)
    return visit.go_to(f"/console/triage/{names[0]}") if names else visit.render("triage_none.html", here="triage")


async def desk(visit: Visit) -> Response:
    """Show what the reviewer holds, open what he saw last. Nothing is leased by looking."""
    return await _page(visit, await desk_of(visit))


async def begin(visit: Visit) -> Response:
    """Lease what comes next."""
    return await _go_on(visit, await desk_of(visit), await visit.form())


async def decide(visit: Visit) -> Response:
    """Store a decision, and go on to the next prediction."""
    asked, form = await desk_of(visit), await visit.form()
    said = validation.model_of(LeaseForm, form)
    await _note_shown(visit, said.lease)
    given = said.model_dump(include={"decided_at", "outcome", "value"}, exclude_none=True)
    if await decisions.decide(visit, said.lease, given):
        return await _go_on(visit, asked, form)
    return await _go_on(visit, asked, form, note="You have taken this decision back. Decide again.", stale=True)


async def undo(visit: Visit) -> Response:
    """Take a decision back; its prediction is on the desk again."""
    asked, form = await desk_of(visit), await visit.form()
    said = validation.model_of(LeaseForm, form)
    if await decisions.undo(visit, said.lease, said.decided_at):
        return await _go_on(visit, asked, form)
    return await _go_on(visit, asked, form, note="The decision is withdrawn. Another reviewer has the prediction now.")


async def skip(visit: Visit) -> Response:
    """Give a prediction back, for others."""
    asked, form = await desk_of(visit), await visit.form()
    said = validation.model_of(LeaseForm, form)
    await _note_shown(visit, said.lease)
    await api.release(visit.services, LeaseIds(leases=[said.lease]), visit.caller.client)
    return await _go_on(visit, asked, form)


async def displayed(visit: Visit) -> Response:
    """Note that the script displays a prediction that was loaded ahead, or have it look anew if the lease has ended."""
    ended = await _note_shown(visit, validation.model_of(LeaseForm, await visit.form()).lease)
    return Response(status_code=NO_MORE, headers=REFRESH if ended else None)


async def name_reviewer(visit: Visit) -> Response:
    """Keep the name of who reviews in this browser."""
    asked, form = await desk_of(visit), await visit.form()
    response = visit.go_to(asked.path + asked.query)
    remember(visit, response, str(form.get("reviewer", "")).strip())
    return response


async def _note_shown(visit: Visit, lease_id: int) -> bool:
    """Note that a prediction was displayed, as it was to who sends its form, and return whether its lease has ended."""
    return bool((await api.show(visit.services, LeaseIds(leases=[lease_id]), visit.caller.client)).ended)


async def _go_on(visit: Visit, asked: Desk, form: Any, *, note: str = "", stale: bool = False) -> Response:
    """Lease more where too few are left, and answer the script with what it does not have, or lead to the page."""
    part = b"x-part" in visit.request.index
    if asked.reviewer is None:  # the name was kept as long as a session
        return Response(status_code=NO_MORE, headers=REFRESH) if part else visit.go_to(asked.path + asked.query)
    await _fill(visit, asked, *((LOW, FULL) if part else (1, 1)))
    if part:
        have = {int(one) for one in str(form.get("have", "")).split(",")[-KNOWN:] if one.isdecimal()}
        values = await _values(visit, asked, have)
        return visit.render("triage_part.html", **values, note=note, stale=stale)
    found = await _held(visit, asked)
    if note or not found:
        return await _page(visit, asked, note=note, looked=True)
    return visit.go_to(asked.path + asked.query)


async def _fill(visit: Visit, asked: Desk, low: int, full: int) -> None:
    held = len(await _held(visit, asked))
    if held < low:
        wanted = {"model": asked.name, "n": full - held, "reviewer": asked.who.name, "filter": asked.filter}
        await lease(visit.services, validation.model_of(LeaseRequest, wanted), visit.caller.client)


async def _held(visit: Visit, asked: Desk) -> list[HeldPrediction]:
    found = await holding(visit.services, asked.model, asked.who)
    return [one for one in found.held if one.filter == asked.filter]


async def _values(visit: Visit, asked: Desk, have: set[int]) -> dict[str, Any]:
    """Return what a part shows: predictions of this filter that the page does not have, and the last decision."""
    now = datetime.now(UTC).isoformat()
    shared = {"desk": asked, "spec": asked.model.spec, "rules": asked.model.rules, "now": now}
    if asked.reviewer is None:
        nothing: dict[str, Any] = {"predictions": [], "open": None, "inputs": {}, "parts": {}}
        return {**shared, **nothing, "others": 0, "last": None, "last_input": None}
    found = await holding(visit.services, asked.model, asked.reviewer)
    mine: Sequence[HeldPrediction] = [one for one in found.held if one.filter == asked.filter]
    new = [one for one in mine if one.lease not in have]
    return {
        **shared,
        "predictions": new,
        "open": _open(mine),
        "inputs": {
            one.lease: images.drawn(asked.model.spec, one.place.task_id, one.place.position, one.input) for one in new
        },
        "parts": await _parts(visit, asked, new),
        "others": len(found.held) - len(mine),
        "last": found.last,
        "last_input": found.last_input,
    }


def _open(held: Sequence[HeldPrediction]) -> int | None:
    """Return the lease that was displayed last, or the first of all: whoever loads the page again sees the same."""
    seen = [(one.shown_until, one.lease) for one in held if one.shown_until is not None]
    return max(seen)[1] if seen else held[0].lease if held else None


async def _parts(visit: Visit, asked: Desk, held: Sequence[HeldPrediction]) -> dict[int, list[tuple[str, float]]]:
    """Return by lease what each shown score is made of, the largest part first, where somebody computed it."""
    seen = {(one.place.task_id, one.place.position): one.lease for one in held if one.score is not None}
    if not seen:
        return {}
    async with visit.services.engine.connect() as connection:
        rows = await explanations.of_places(connection, list(seen))
    spec = asked.model.spec
    names = [spec.public_names[name] for name in explained_columns(spec)]
    return {
        seen[row.task_id, row.position]: sorted(
            zip(names, row.contributions, strict=True), key=lambda one: -abs(one[1])
        )
        for row in rows
        if len(row.contributions) == len(names)  # or it is of a version with other columns
    }


async def _page(visit: Visit, asked: Desk, *, note: str = "", looked: bool = False) -> Response:
    return visit.render(
        "triage.html",
        here="triage",
        models=await reviewable(visit),
        fields=filter_fields(asked.model.spec),
        may_lead=visit.caller.role in LEADS,
        note=note,
        stale=False,
        looked=looked,
        **await _values(visit, asked, set()),
    )


ROLES = REVIEWERS
PAGES: list[tuple[str, Answer]] = [("/console/triage", models), ("/console/triage/{model}", desk)]
CHANGES: list[tuple[str, Answer]] = [
    ("/console/triage/{model}/next", begin),
    ("/console/triage/{model}/decide", decide),
    ("/console/triage/{model}/undo", undo),
    ("/console/triage/{model}/skip", skip),
    ("/console/triage/{model}/shown", displayed),
    ("/console/triage/{model}/reviewer", name_reviewer),
]
