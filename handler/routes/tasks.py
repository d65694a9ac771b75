"""Read, list, cancel and replay tasks."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from handler.answers import Accepted, TaskPage, TaskSummary, any_task, json
from handler.identity import Client
from handler.openapi import documented
from handler.options import Time
from handler.problems import Refused
from handler.reading import read
from handler.routes.submissions import FLAGSHIP
from handler.services import Serving
from models.contract import Spec
from store import tasks, verdicts
from store.states import Status

MAX_WAIT = 60
"""Seconds that one request may wait; proxies cut connections that are silent for longer."""


def router(specs: dict[str, Spec]) -> APIRouter:
    routes = APIRouter(tags=["tasks"])
    task = {"model": any_task(specs), "description": "The task as it stands; with its outputs once it has succeeded"}
    routes.add_api_route(
        "/task/{task_id}",
        read_task,
        responses={200: {**task, **_PREFERENCE}, **documented(404, 422, 503)},
        openapi_extra={"parameters": [_PREFER]},
    )
    routes.add_api_route(
        "/task/{task_id}/cancel",
        cancel_task,
        methods=["POST"],
        responses={200: {"model": TaskSummary, "description": "REVOKED"}, **documented(404, 409, 422, 503)},
    )
    routes.add_api_route(
        "/task/{task_id}/replay",
        replay_task,
        methods=["POST"],
        status_code=202,
        responses={202: {"model": Accepted, "description": "PENDING again"}, **documented(404, 409, 422, 503)},
    )
    routes.add_api_route(
        "/tasks", list_tasks, response_description="One page of tasks, newest first", responses=documented(422, 503)
    )
    return routes


async def read_task(task_id: UUID, request: Request, services: Serving, client: Client) -> Response:
    """Return a task, with its outputs once it has succeeded.

    With `Prefer: wait=N` (1 to 60 s) the answer is held until the task ends or the time is over.
    """
    wait = _wait(",".join(request.headers.getlist("prefer")))
    body = await read(services, task_id, client, wait or 0)
    return json(body, {"Vary": "Prefer"} | ({"Preference-Applied": f"wait={wait}"} if wait else {}))


async def cancel_task(task_id: UUID, services: Serving, client: Client) -> Response:
    """Cancel a task that has not ended. If a worker has it already, its result is discarded."""
    async with services.engine.begin() as connection:
        revoked = await verdicts.revoke(connection, task_id, client)
    body = await read(services, task_id, client)
    if not revoked:
        raise Refused(
            409, "task-ended", f"Task {task_id} is {body['status']}: only a task that goes on can be cancelled."
        )
    services.waiters.tell(task_id)
    return json(body)


async def replay_task(task_id: UUID, services: Serving, client: Client) -> Response:
    """Score a task that failed once more: its inputs were kept, and its attempts begin anew."""
    async with services.engine.begin() as connection:
        waiting = await verdicts.replay(connection, task_id, client)
    if waiting is None:
        body = await read(services, task_id, client)
        why = (
            "only a FAILURE can be replayed" if body["status"] != Status.FAILURE else "but its inputs are kept no more"
        )
        raise Refused(409, "task-not-failed", f"Task {task_id} is {body['status']}: {why}.")
    services.intake.publish_soon(waiting)
    return json({"task_id": task_id, "status": Status.PENDING}, {"Location": f"/task/{task_id}"}, status=202)


class Wanted(BaseModel):
    """Which tasks to list; a parameter that is not known is refused, for it would list what was not asked for."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = None
    model: str | None = Field(None, pattern="^[a-z][a-z0-9_]*$", examples=[FLAGSHIP])
    submitted_after: Time | None = Field(None, description="RFC 3339, included", examples=["2026-01-31T09:00:00Z"])
    submitted_before: Time | None = Field(None, description="RFC 3339, not included", examples=["2026-02-01T09:00:00Z"])
    before: UUID | None = Field(None, description="`next` of the page before")
    limit: int = Field(100, ge=1, le=1000)


async def list_tasks(services: Serving, client: Client, wanted: Annotated[Wanted, Query()]) -> TaskPage:
    """List tasks, newest first."""
    async with services.engine.connect() as connection:
        rows = await tasks.page(connection, **{**dict(wanted), "client": client, "limit": wanted.limit + 1})
    shown = [TaskSummary(**row._mapping) for row in rows[: wanted.limit]]
    return TaskPage(tasks=shown, next=shown[-1].task_id if len(rows) > wanted.limit else None)


def _wait(prefer: str) -> int | None:
    """Read RFC 7240's `wait`; whatever else is preferred, or not understood, is left alone, as the RFC asks."""
    for preference in prefer.split(","):
        wait = _WAIT.fullmatch(preference.partition(";")[0].strip())
        if wait:
            return min(int(wait[1][:9]), MAX_WAIT) or None
    return None


_WAIT = re.compile(r'wait\s*=\s*"?0*([0-9]+)"?', re.IGNORECASE)

_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "wait=N holds the answer for up to N seconds, until the task ends (RFC 7240)",
    "required": False,
    "schema": {"type": "string", "examples": ["wait=10"]},
}

_PREFERENCE = {
    "headers": {
        "Preference-Applied": {"description": "The wait that was granted", "schema": {"type": "string"}},
        "Vary": {"description": "Prefer", "schema": {"type": "string"}},
    }
}
