"""Take inputs in."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from handler import options, parsing
from handler.answers import Accepted, any_task, json
from handler.fast_lane import Answer
from handler.identity import Client
from handler.openapi import documented
from handler.reading import unknown_model
from handler.services import Serving
from handler.submitting import accept, accept_and_read, wishes
from models.contract import Spec
from store import accepting
from store.states import FINAL

FLAGSHIP = "report_scorer"
"""The model whose inputs `POST /submit` and `POST /predict` take."""


def router(specs: dict[str, Spec]) -> APIRouter:
    """Return the routes, with a submit of its own for each model so that OpenAPI knows its inputs."""
    routes = APIRouter(tags=["tasks"])
    flagship = specs[FLAGSHIP]
    for path, spec in _submit_paths(specs):
        routes.add_api_route(
            path,
            _submit(spec),
            methods=["POST"],
            status_code=202,
            response_model=Accepted,
            summary=f"Submit a batch: {spec.title.lower()}",
            operation_id=f"submit_{spec.name}" if path != "/submit" else "submit",
            responses={202: _STORED, **documented(408, 413, 415, 422, 503)},
            openapi_extra=_takes(_schema(spec, batch=True)),
        )
    task = {"model": any_task(specs), "description": "The finished task, with its outputs if it has succeeded"}
    routes.add_api_route(
        "/predict",
        _predict(flagship),
        methods=["POST"],
        summary="Score one report now",
        operation_id="predict",
        responses={200: task, 202: {"model": Accepted, **_STORED}, **documented(408, 413, 415, 422, 503)},
        openapi_extra=_takes(_schema(flagship, batch=False)),
    )
    routes.add_api_route(
        "/models/{model}/submit", _unknown_model, methods=["POST"], include_in_schema=False, response_model=None
    )
    return routes


def fast(specs: dict[str, Spec]) -> dict[tuple[str, str], Answer]:
    """Return what of this the fast lane answers, by method and path."""
    submits: dict[tuple[str, str], Answer] = {("POST", path): _submit(spec) for path, spec in _submit_paths(specs)}
    return submits | {("POST", "/predict"): _predict(specs[FLAGSHIP])}


def _submit_paths(specs: dict[str, Spec]) -> list[tuple[str, Spec]]:
    return [("/submit", specs[FLAGSHIP]), *((f"/models/{spec.name}/submit", spec) for spec in specs.values())]


def _submit(spec: Spec) -> Callable[..., Awaitable[Response]]:
    async def submit(request: Request, services: Serving, client: Client) -> Response:
        """Store a JSON array of inputs and answer at once; the scores are read at `GET /task/{task_id}`."""
        wanted = wishes(request, services)
        taken = await parsing.read_batch(request, spec, services.manifests[spec.name], services.settings.max_body_bytes)
        return _stored(await accept(services, client, spec, wanted, taken))

    return submit


def _predict(spec: Spec) -> Callable[..., Awaitable[Response]]:
    async def predict(request: Request, services: Serving, client: Client) -> Response:
        """Submit one input and wait a few seconds for its score: 200 with the finished task, else 202."""
        wanted = wishes(request, services)
        taken = await parsing.read_one(request, spec, services.manifests[spec.name], services.settings.max_body_bytes)
        wait = services.settings.predict_wait_seconds
        accepted, body = await accept_and_read(services, client, spec, wanted, taken, wait)
        return json(body) if body["status"] in FINAL else _stored(accepted)

    return predict


async def _unknown_model(model: str, services: Serving) -> None:
    raise unknown_model(model, services)


def _stored(accepted: accepting.Accepted) -> Response:
    headers = {"Location": f"/task/{accepted.task_id}"}
    if accepted.replayed:
        headers["Idempotency-Replayed"] = "true"
    return json({"task_id": accepted.task_id, "status": accepted.status}, headers, status=202)


_STORED = {
    "description": "Stored durably; it will be scored",
    "headers": {
        "Location": {"description": "Where to read the task", "schema": {"type": "string"}},
        "Idempotency-Replayed": {
            "description": "true when the idempotency key stands for a task already: this one",
            "schema": {"type": "string"},
        },
    },
}


def _schema(spec: Spec, *, batch: bool) -> dict[str, Any]:
    one = spec.input.model_json_schema()
    example = {name: field.examples[0] for name, field in spec.input.model_fields.items() if field.examples}
    if not batch:
        return {**one, "examples": [example]}
    return {"type": "array", "minItems": 1, "maxItems": spec.max_inputs, "items": one, "examples": [[example]]}


def _takes(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "parameters": options.parameters(),
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
    }
