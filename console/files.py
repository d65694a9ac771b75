"""Score a whole file: it becomes a job of the API, whose progress a page shows and whose rows it offers to download.

The same page shows how far a job is that replays or cancels tasks (bulk.py makes it).
"""

from functools import partial
from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import Response
from starlette.types import Message, Receive

from console import live
from console.live import Part
from console.page import Answer, Visit
from handler.answer import jobs as answers
from handler.answer.job_bodies import JobState, JobStatus
from handler.auth.caller import CHANGERS
from handler.http.body import FORM, content_type
from handler.http.parameters import id_in
from handler.http.request import ApiRequest
from handler.problems import ProblemKind, RequestRefused
from handler.routes import job_results
from handler.routes import jobs as api
from handler.submit.reading import ARROW, CSV, NDJSON, TSV
from store.job_tables import JobKind

DOWNLOADS = {"csv": CSV, "ndjson": NDJSON, "arrow": ARROW}

_PART = "file"


async def upload(visit: Visit) -> Response:
    """Make a job of a file, which is the body as it stands, of any size, or the part of a form."""
    model = visit.services.models.get(visit.request.path_params["model"])
    request = visit.request
    if content_type(request) == FORM:
        given = (await visit.large_form((_PART,))).get(_PART, b"")
        content = given if isinstance(given, bytes) else given.encode()
        if not content.strip():
            raise RequestRefused(
                ProblemKind.INVALID_FORM, "No file was chosen, or it is empty; choose one and send it again."
            )
        sent = _as_api(request, {"content-type": _kind_of(content)}, _job(model.name), content)
    else:
        sent = _as_api(request, {}, _job(model.name), None)
    made = await api.create_job(sent, visit.services, visit.caller.client)
    job_id = made.headers["location"].rpartition("/")[2]
    if b"x-part" in request.index:  # the script that has sent the file follows by itself
        return Response(f"{visit.root}/console/job/{job_id}", media_type="text/plain")
    return visit.go_to(f"/console/job/{job_id}")


async def job(visit: Visit) -> Response:
    """Show how far a job is, and offer what is scored."""
    job_id = id_in(visit.request, "job_id")
    state = await answers.state_of(visit.services, job_id, visit.caller)
    part = _drawn(visit, state)
    here = "try" if state.kind == JobKind.FILE else "tasks"
    return visit.render("job.html", here=here, kind=state.kind, part=part.html, ended=part.ended, job_id=job_id)


async def live_job(visit: Visit) -> Response:
    """Keep the page of a job up to date until it has ended."""
    job_id = id_in(visit.request, "job_id")
    await answers.job_of(visit.services, job_id, visit.caller)  # a stream that begins can tell of no error
    return await live.respond(visit, lambda: _part(visit, job_id))


async def _part(visit: Visit, job_id: UUID) -> Part:
    """Return what was seen of a job for all who may see the same of it: a look adds up all of its parts."""
    look = partial(answers.state_of, visit.services, job_id, visit.caller)
    return _drawn(visit, await visit.console.shared.get((job_id, visit.caller), look))


def _drawn(visit: Visit, state: JobState) -> Part:
    shared = {
        "job": state,
        "ended": state.status in (JobStatus.DONE, JobStatus.CANCELLED),
        "may_change": visit.caller.role in CHANGERS,
    }
    if state.filter is None:
        html = visit.html("job_part.html", **shared, downloads=list(DOWNLOADS))
    else:
        html = visit.html("bulk_part.html", **shared, filter=state.filter)
    return Part(html, bool(shared["ended"]))


async def cancel(visit: Visit) -> Response:
    """Cancel a job that has not ended, or stop one that replays or cancels tasks."""
    await api.cancel_job(visit.request, visit.services, visit.caller.client)
    return visit.go_to(f"/console/job/{id_in(visit.request, 'job_id')}")


async def results(visit: Visit) -> Response:
    """Download the scored rows in the order of the file."""
    ending = visit.request.path_params["ending"]
    if ending not in DOWNLOADS:
        raise RequestRefused(ProblemKind.NOT_FOUND, f"Scored files are offered as {', '.join(DOWNLOADS)}.")
    asked = _as_api(visit.request, {"accept": DOWNLOADS[ending]}, {}, b"")
    response = await job_results.read_results(asked, visit.services, visit.caller.client)
    return _attached(response, f"scored-{id_in(visit.request, 'job_id')}.{ending}")


async def rejects(visit: Visit) -> Response:
    """Download the rows that cannot be scored, with what is wrong with each."""
    response = await job_results.read_rejects(visit.request, visit.services, visit.caller.client)
    return _attached(response, f"rejected-{id_in(visit.request, 'job_id')}.ndjson")


def _attached(response: Response, name: str) -> Response:
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _job(model: str) -> dict[str, str]:
    return {"model": model, "on_invalid": "collect", "priority": "normal"}


def _as_api(request: ApiRequest, headers: dict[str, str], query: dict[str, str], body: bytes | None) -> ApiRequest:
    """Return the request as the API's own function reads it: other headers and query, the same caller.

    Without a body, that of the request follows as it arrives.
    """
    changed = {name.encode(): value.encode() for name, value in headers.items()}
    kept = [
        (name, value) for name, value in request.scope["headers"] if name not in changed and name != b"content-length"
    ]
    scope = {**request.scope, "headers": [*kept, *changed.items()], "query_string": urlencode(query).encode()}
    told = ApiRequest(scope, request.receive if body is None else _once(body))
    told.caller = request.caller
    return told


def _once(body: bytes) -> Receive:
    """Return an ASGI `receive` that gives this body."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _kind_of(content: bytes) -> str:
    """Return the content type of a file: NDJSON begins with a brace, and the first line of TSV has tabs."""
    if content.lstrip().startswith(b"{"):
        return NDJSON
    head = content.partition(b"\n")[0]
    return TSV if b"\t" in head and b"," not in head else CSV


PAGES: list[tuple[str, Answer]] = [
    ("/console/job/{job_id}", job),
    ("/console/live/job/{job_id}", live_job),
    ("/console/job/{job_id}/results/{ending}", results),
    ("/console/job/{job_id}/rejects", rejects),
]
UPLOADS: list[tuple[str, Answer]] = [("/console/try/{model}/file", upload)]
CHANGES: list[tuple[str, Answer]] = [("/console/job/{job_id}/cancel", cancel)]
