"""Read, list, cancel and replay tasks."""

from collections.abc import Mapping
from typing import Annotated
from urllib.request import parse_http_list
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from broker.lanes import Sharer
from handler.answer.bodies import Accepted, TaskPage, TaskSummary, any_task
from handler.answer.explanations import explained
from handler.answer.row_formats import preferred
from handler.answer.tasks import summary
from handler.auth.caller import CHANGERS, EVERY_ROLE
from handler.http.body import JsonResponse
from handler.http.operation import Operation, success
from handler.http.parameters import Time, described_parameters, id_in, text_like, validated
from handler.http.request import ApiRequest
from handler.problems import ProblemKind, RequestRefused
from handler.routes.predictions import rows_of
from handler.routes.submissions import FLAGSHIP
from handler.services import Services
from serving.contract import Spec
from store import task_events, transitions
from store.states import Status
from store.task_events import TaskEvent, client_as_actor
from telemetry.logs import TASK_ID

MAX_WAIT = 60
"""Seconds that one request may wait; proxies cut connections that are silent for longer."""


def operations(specs: Mapping[str, Spec]) -> list[Operation]:
    task = success(
        any_task(specs), "The task as it stands; with its outputs once it has succeeded", headers=_PREFERENCE
    )
    revoked, pending = success(TaskSummary, Status.REVOKED), success(Accepted, "PENDING again", 202)
    page = success(TaskPage, "One page of tasks, newest first")
    unknown = ProblemKind.UNKNOWN_TASK
    cancel, replay = (unknown, ProblemKind.TASK_ENDED), (unknown, ProblemKind.TASK_NOT_FAILED)
    prefer = {"parameters": [_PREFER, *described_parameters(TaskDetails)]}
    filters = {"parameters": described_parameters(TaskFilter)}
    busy, one = (ProblemKind.LISTS_BUSY,), "/task/{task_id}"
    return [
        Operation(
            *("GET", one, read_task, "tasks"), responses=task, problems=(unknown,), request=prefer, roles=EVERY_ROLE
        ),
        Operation(*("POST", f"{one}/cancel", cancel_task, "tasks"), responses=revoked, problems=cancel, roles=CHANGERS),
        Operation(*("POST", f"{one}/replay", replay_task, "tasks"), responses=pending, problems=replay, roles=CHANGERS),
        Operation(
            *("GET", "/tasks", list_tasks, "tasks"), responses=page, problems=busy, request=filters, roles=EVERY_ROLE
        ),
    ]


async def read_task(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Return a task, with its outputs once it has succeeded.

    With `Prefer: wait=N` (1 to 60 s) the answer is held until the task ends or the time is over. With `Accept:
    application/x-ndjson`, `text/csv` or `application/vnd.apache.arrow.stream` it is a stream of rows, inputs beside
    outputs. CSV holds each text exactly; a spreadsheet may run one as a formula unless it imports the column as text.
    """
    task_id = id_in(request, "task_id")
    TASK_ID.set(task_id)
    explain = bool(request.query_params) and validated(TaskDetails, request.query_params).explain
    prefer = request.headers.getlist("prefer") if b"prefer" in request.index else []
    wait = _wait(",".join(prefer))
    task = await services.tasks.read(task_id, request.caller, wait or 0)
    if (media_type := preferred(request)) is not None:
        return await rows_of(request, services, task, media_type, wait or 0)
    if explain and task["status"] == Status.SUCCESS and (found := await explained(services, task, request.caller)):
        task["explanations"] = found
    return JsonResponse(task, {"Vary": "Accept, Prefer"} | ({"Preference-Applied": f"wait={wait}"} if wait else {}))


class TaskDetails(BaseModel):
    """What a task is to be shown with; other parameters are ignored, as they were before there was one."""

    explain: bool = Field(
        False, description="Add what `millrace explain` has found its scores to be made of", examples=[True]
    )


async def cancel_task(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Cancel a task that has not ended. If a worker has it already, its result is discarded."""
    task_id, everybodys = id_in(request, "task_id"), request.caller.confined_to is None
    async with services.engine.begin() as connection:
        cancelled = await connection.run_sync(transitions.cancel, task_id, client, any_clients=everybodys)
        if cancelled:
            actor = client_as_actor(client)
            await connection.run_sync(task_events.note, TaskEvent.CANCELLED, actor, [task_id])
    task = await services.tasks.read(task_id, request.caller)
    if not cancelled:
        raise RequestRefused(
            ProblemKind.TASK_ENDED,
            f"Task {task_id} is {task['status']}; only PENDING and STARTED tasks can be cancelled.",
        )
    services.notifier.notify(task_id)
    return JsonResponse(task)


async def replay_task(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Score a task that failed once more: its inputs were kept, and its attempts begin anew."""
    task_id = id_in(request, "task_id")
    async with services.engine.begin() as connection:
        waiting = await connection.run_sync(transitions.replay, task_id, request.caller.confined_to)
        if waiting is not None:
            await connection.run_sync(task_events.note, TaskEvent.REPLAYED, client_as_actor(client), [task_id])
    if waiting is None:
        task = await services.tasks.read(task_id, request.caller)
        why = (
            "; only FAILURE tasks can be replayed"
            if task["status"] != Status.FAILURE
            else ", but its inputs were deleted; submit them again"
        )
        raise RequestRefused(ProblemKind.TASK_NOT_FAILED, f"Task {task_id} is {task['status']}{why}.")
    sharer = Sharer(waiting.model, waiting.priority, waiting.client)
    services.group_commit.publish_soon(task_id, sharer, waiting.n_inputs)
    return JsonResponse({"task_id": task_id, "status": Status.PENDING}, {"Location": f"/task/{task_id}"}, status=202)


_NAME = "^[a-z][a-z0-9_]*$"
_MODEL = text_like(_NAME, f"Must be the name of a model, such as {FLAGSHIP}; GET /models lists them")


class TaskFilter(BaseModel):
    """Which tasks to list. An unknown parameter is refused, as ignoring it would list other tasks than asked for."""

    model_config = ConfigDict(extra="forbid")

    status: Annotated[Status | None, Field(description="Only tasks in this state", examples=[Status.SUCCESS])] = None
    model: Annotated[str | None, _MODEL] = Field(
        None, json_schema_extra={"pattern": _NAME}, description="Only tasks of this model", examples=[FLAGSHIP]
    )
    submitted_after: Time | None = Field(None, description="RFC 3339, included", examples=["2026-01-31T09:00:00Z"])
    submitted_before: Time | None = Field(None, description="RFC 3339, not included", examples=["2026-02-01T09:00:00Z"])
    before: UUID | None = Field(None, description="`next` of the page before")
    limit: int = Field(100, ge=1, le=1000, description="How many tasks a page has at most")


async def list_tasks(request: ApiRequest, services: Services, client: str | None) -> Response:
    """List tasks, newest first: your own, or with a role that reads every client's, all of them."""
    asked = validated(TaskFilter, request.query_params)
    rows = await services.lists.page(request.caller, **{**dict(asked), "limit": asked.limit + 1})
    shown = [summary(row, request.caller) for row in rows[: asked.limit]]
    return JsonResponse({"tasks": shown, "next": shown[-1]["task_id"] if len(rows) > asked.limit else None})


def _wait(prefer: str) -> int | None:
    """Read RFC 7240's `wait`; whatever else is preferred, or not understood, is left alone, as the RFC asks."""
    for preference in parse_http_list(prefer):  # a comma in quotes separates nothing
        name, _, value = preference.partition(";")[0].partition("=")
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if name.strip().lower() == "wait" and value.isascii() and value.isdigit():
            return min(int(value.lstrip("0")[:9] or 0), MAX_WAIT) or None
    return None


_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "wait=N holds the answer for up to N seconds, until the task ends (RFC 7240)",
    "required": False,
    "schema": {"type": "string", "examples": ["wait=10"]},
}

_PREFERENCE = {
    "Preference-Applied": {"description": "The wait that was granted", "schema": {"type": "string"}},
    "Vary": {"description": "Accept, Prefer", "schema": {"type": "string"}},
}
