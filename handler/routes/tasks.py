"""Submit inputs, read tasks."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError
from uuid_utils.compat import uuid7

from handler import parsing
from handler.answers import Accepted, TaskPage, TaskSummary, answered_fields, finished_task
from handler.problems import Refused, documented
from handler.services import Services, Serving
from models.contract import Spec
from store import predictions, tasks
from store.states import FINAL, Status
from store.tasks import Submission

MAX_WAIT = 60
"""Seconds that one request may wait; proxies cut connections that are silent for longer."""

FLAGSHIP = "report_scorer"
"""The model whose inputs `POST /submit` and `POST /predict` take."""


def router(specs: dict[str, Spec]) -> APIRouter:
    """Return the routes, with a submit of its own for each model so that OpenAPI knows its inputs."""
    routes = APIRouter(tags=["tasks"])
    task = {"model": _any_task(specs), "description": "The task as it stands; with its outputs once it has succeeded"}
    flagship = specs[FLAGSHIP]
    for path, spec in [("/submit", flagship), *((f"/models/{s.name}/submit", s) for s in specs.values())]:
        routes.add_api_route(
            path,
            _submit(spec),
            methods=["POST"],
            status_code=202,
            response_model=Accepted,
            summary=f"Submit a batch: {spec.title.lower()}",
            operation_id=f"submit_{spec.name}" if path != "/submit" else "submit",
            responses={202: _LOCATION, **documented(413, 415, 422, 503)},
            openapi_extra=_body(_schema(spec, batch=True)),
        )
    routes.add_api_route(
        "/predict",
        _predict(flagship),
        methods=["POST"],
        summary="Score one report now",
        operation_id="predict",
        responses={200: task, 202: {"model": Accepted, **_LOCATION}, **documented(413, 415, 422, 503)},
        openapi_extra=_body(_schema(flagship, batch=False)),
    )
    routes.add_api_route(
        "/models/{model}/submit", _unknown_model, methods=["POST"], include_in_schema=False, response_model=None
    )
    routes.add_api_route(
        "/task/{task_id}", read_task, responses={200: {**task, **_PREFERENCE}, **documented(404, 422, 503)}
    )
    routes.add_api_route(
        "/tasks", list_tasks, response_description="One page of tasks, newest first", responses=documented(422, 503)
    )
    return routes


def _submit(spec: Spec) -> Callable[..., Awaitable[Response]]:
    async def submit(request: Request, services: Serving) -> Response:
        """Store a JSON array of inputs and answer at once; the scores are read at `GET /task/{task_id}`."""
        payload, n_inputs = await parsing.read_batch(request, spec, services.settings.max_body_bytes)
        return _accepted(await _accept(services, spec, payload, n_inputs))

    return submit


def _predict(spec: Spec) -> Callable[..., Awaitable[Response]]:
    async def predict(request: Request, services: Serving) -> Response:
        """Submit one input and wait a few seconds for its score: 200 with the finished task, else 202."""
        payload, n_inputs = await parsing.read_one(request, spec, services.settings.max_body_bytes)
        task_id = await _accept(services, spec, payload, n_inputs)
        body = await _read(services, task_id, services.settings.predict_wait_seconds)
        if body is None or body["status"] not in FINAL:
            return _accepted(task_id)
        return _json(body)

    return predict


async def _unknown_model(model: str, services: Serving) -> None:
    raise unknown_model(model, services)


def unknown_model(model: str, services: Services) -> Refused:
    return Refused(404, "unknown-model", f"There is no model {model!r}; there is: {', '.join(services.specs)}.")


async def read_task(
    task_id: UUID, services: Serving, prefer: Annotated[list[str] | None, Header(examples=[["wait=10"]])] = None
) -> Response:
    """Return a task, with its outputs once it has succeeded.

    With `Prefer: wait=N` (1 to 60 s) the answer is held until the task ends or the time is over.
    """
    wait = _wait(",".join(prefer or []))
    body = await _read(services, task_id, wait or 0)
    if body is None:
        raise Refused(404, "unknown-task", f"There is no task {task_id}.")
    return _json(body, {"Vary": "Prefer"} | ({"Preference-Applied": f"wait={wait}"} if wait else {}))


def _representable(time: datetime) -> datetime:
    """Refuse times that PostgreSQL's drivers cannot convert to UTC, year 1 and year 9999."""
    if not 1900 < time.year < 9000:
        raise PydanticCustomError("time_out_of_range", "Give a year from 1901 to 8999")
    return time


Time = Annotated[AwareDatetime, AfterValidator(_representable)]


class Wanted(BaseModel):
    """Which tasks to list; a parameter that is not known is refused, for it would list what was not asked for."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = None
    model: str | None = Field(None, pattern="^[a-z][a-z0-9_]*$", examples=[FLAGSHIP])
    submitted_after: Time | None = Field(None, description="RFC 3339, included", examples=["2026-01-31T09:00:00Z"])
    submitted_before: Time | None = Field(None, description="RFC 3339, not included", examples=["2026-02-01T09:00:00Z"])
    before: UUID | None = Field(None, description="`next` of the page before")
    limit: int = Field(100, ge=1, le=1000)


async def list_tasks(services: Serving, wanted: Annotated[Wanted, Query()]) -> TaskPage:
    """List tasks, newest first."""
    async with services.engine.connect() as connection:
        rows = await tasks.page(connection, **{**dict(wanted), "limit": wanted.limit + 1})
    shown = [TaskSummary(**row._mapping) for row in rows[: wanted.limit]]
    return TaskPage(tasks=shown, next=shown[-1].task_id if len(rows) > wanted.limit else None)


async def _accept(services: Services, spec: Spec, payload: bytes, n_inputs: int) -> UUID:
    task_id = uuid7()
    await services.intake.accept(Submission(task_id, spec.name, payload, n_inputs))
    return task_id


async def _read(services: Services, task_id: UUID, wait: float) -> dict[str, Any] | None:
    """Return a task's answer, at the latest after `wait` seconds, sooner when the task has ended."""
    clock = asyncio.get_running_loop().time
    until = clock() + wait
    with services.waiters.interest(task_id) as ended:
        while True:
            ended.clear()
            body = await _state(services, task_id)
            if body is None or body["status"] in FINAL or clock() >= until:
                return body
            try:
                async with asyncio.timeout_at(until):
                    await ended.wait()
            except TimeoutError:
                pass


async def _state(services: Services, task_id: UUID) -> dict[str, Any] | None:
    async with services.engine.connect() as connection:
        row = await tasks.read(connection, task_id)
        if row is None:
            return None
        body = dict(row._mapping)
        if row.status == Status.SUCCESS:
            if row.model not in services.specs:
                raise unknown_model(row.model, services)  # it was, once
            spec = services.specs[row.model]
            names = list(answered_fields(spec))
            values = await predictions.read(connection, services.tables[row.model], task_id, names)
            body |= dict(zip(names, values, strict=True))
            if spec.key and not any(value is not None for value in body[spec.key]):
                del body[spec.key]  # the caller gave none
        return body


def _wait(prefer: str) -> int | None:
    """Read RFC 7240's `wait`; whatever else is preferred, or not understood, is left alone, as the RFC asks."""
    for preference in prefer.split(","):
        wait = _WAIT.fullmatch(preference.partition(";")[0].strip())
        if wait:
            return min(int(wait[1][:9]), MAX_WAIT) or None
    return None


_WAIT = re.compile(r'wait\s*=\s*"?0*([0-9]+)"?', re.IGNORECASE)


def _accepted(task_id: UUID) -> Response:
    return _json({"task_id": task_id, "status": Status.PENDING}, {"Location": f"/task/{task_id}"}, status=202)


def _json(body: dict[str, Any], headers: dict[str, str] | None = None, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, headers, "application/json")


_LOCATION = {
    "description": "Stored durably; it will be scored",
    "headers": {"Location": {"description": "Where to read the task", "schema": {"type": "string"}}},
}


_PREFERENCE = {
    "headers": {
        "Preference-Applied": {"description": "The wait that was granted", "schema": {"type": "string"}},
        "Vary": {"description": "Prefer", "schema": {"type": "string"}},
    }
}


def _any_task(specs: dict[str, Spec]) -> Any:
    answer: Any = None
    for spec in specs.values():
        described = finished_task(spec)
        answer = described if answer is None else answer | described
    return answer


def _schema(spec: Spec, *, batch: bool) -> dict[str, Any]:
    one = spec.input.model_json_schema()
    example = {name: field.examples[0] for name, field in spec.input.model_fields.items() if field.examples}
    if not batch:
        return {**one, "examples": [example]}
    return {"type": "array", "minItems": 1, "maxItems": spec.max_inputs, "items": one, "examples": [[example]]}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
