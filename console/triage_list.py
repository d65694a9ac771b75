"""What could come to a reviewer's desk, as a list to look at: nobody gets anything by looking."""

from urllib.parse import urlencode

from starlette.responses import Response

from console import images
from console.desk import Desk, desk_of, reviewable
from console.page import Answer, Visit
from handler.auth.caller import LEADS, REVIEWERS
from handler.http.parameters import id_in
from handler.problems import ProblemKind, RequestRefused
from handler.triage.filters import ROW
from handler.triage.queue import QueuedPrediction, hides_scores, queue
from serving.contract import Spec
from store.triage_pool import Reviewable

PAGE = 20
"""Reports on a page."""

FIELDS = 8
"""Fields of an input that the list shows; the desk shows all of them."""


async def first_page(visit: Visit) -> Response:
    """List the first of what fits the filter."""
    return await _page(visit, None)


async def next_page(visit: Visit) -> Response:
    """List what comes after a report."""
    position = visit.request.path_params["position"]
    if not (position.isdecimal() and len(position) < 10):
        raise RequestRefused(ProblemKind.INVALID_PARAMETER, "The position of a report is a whole number from 0.")
    return await _page(visit, Reviewable(id_in(visit.request, "task_id"), int(position)))


async def _page(visit: Visit, after: Reviewable | None) -> Response:
    asked = await desk_of(visit)
    if asked.reviewer is None:  # of whom depends what can come
        return visit.go_to(asked.path + asked.query)
    found = await queue(visit.services, visit.caller, asked.model, asked.filter, asked.reviewer.name, after, PAGE + 1)
    shown, spec = found[:PAGE], asked.model.spec
    key = spec.public_names[spec.key] if spec.key else None
    names = [spec.public_names[column.name] for column in spec.input_columns]
    return visit.render(
        "triage_list.html",
        here="triage",
        desk=asked,
        spec=spec,
        models=await reviewable(visit),
        may_lead=visit.caller.role in LEADS,
        key=key,
        names=[name for name in names if name != key][:FIELDS],
        rows=[
            (images.drawn(spec, one.place.task_id, one.place.position, one.input), _open(one, spec)) for one in shown
        ],
        reports=shown,
        hidden=hides_scores(visit.services.settings),
        more=_address(asked, shown[-1].place) if len(found) > PAGE else None,
        is_first=after is None,
    )


def _open(one: QueuedPrediction, spec: Spec) -> str | None:
    """Return the filter by which the desk has this report alone: the caller's own key, or else the report's place.

    None for one without a key, of a model with fields that have the names of a place's.
    """
    key = spec.public_names[spec.key] if spec.key else None
    value = one.input[key] if key else None
    if key is not None and value not in (None, "") and str(value).strip() == str(value):  # or an address cannot ask it
        return urlencode({key: value})
    taken = ROW.keys() & set(spec.public_names.values())
    return None if taken else urlencode(one.place._asdict())


def _address(asked: Desk, last: Reviewable) -> str:
    return f"{asked.path}/list/{last.task_id}/{last.position}{asked.query}"


ROLES = REVIEWERS
PAGES: list[tuple[str, Answer]] = [
    ("/console/triage/{model}/list", first_page),
    ("/console/triage/{model}/list/{task_id}/{position}", next_page),
]
