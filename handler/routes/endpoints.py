"""The models' own endpoints: public contracts of others, answered in their own words when the scores are there."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from handler import options, parsing
from handler.answers import answered_fields, json
from handler.identity import Client
from handler.openapi import documented, inlined
from handler.problems import pointer
from handler.reading import scored
from handler.receiving import FORM, JSON, content_type, form_fields, json_value, receive
from handler.services import Services, Serving
from handler.submitting import accept_and_read, wishes
from models.contract import Spec
from models.endpoint import Endpoint


def router(specs: dict[str, Spec]) -> APIRouter:
    routes = APIRouter(tags=["endpoints of models"])
    for spec in specs.values():
        if spec.endpoint is not None:
            routes.add_api_route(
                spec.endpoint.path,
                _answer(spec, spec.endpoint),
                methods=["POST"],
                operation_id=spec.endpoint.operation_id,
                summary=spec.endpoint.summary,
                response_model=spec.endpoint.answer,
                response_description=spec.endpoint.description,
                responses=documented(408, 409, 413, 415, 422, 500, 503, 504),
                openapi_extra=_takes(spec.endpoint),
            )
    return routes


def _answer(spec: Spec, endpoint: Endpoint) -> Callable[..., Awaitable[Response]]:
    async def answer(request: Request, services: Serving, client: Client) -> Response:
        wanted = wishes(request, services)
        body = await _read(request, services, endpoint)
        inputs = endpoint.inputs(body)
        if not inputs:
            return json(endpoint.outputs(body, {name: [] for name in answered_fields(spec)}, 0.0))

        def locate(position: int, place: tuple[str | int, ...]) -> tuple[str | int, ...]:
            return (*endpoint.locate(position, str(place[0])), *place[1:]) if place else ()

        taken = parsing.validated(spec, services.manifests[spec.name], inputs, locate)
        wait = services.settings.answer_wait_seconds
        _, task = await accept_and_read(services, client, spec, wanted, taken, wait)
        scored(task, wait)
        columns = {name: task.get(name, [None] * len(inputs)) for name in answered_fields(spec)}
        seconds = (task["finished_at"] - task["started_at"]).total_seconds()
        return json(endpoint.outputs(body, columns, seconds))

    answer.__doc__ = endpoint.body.__doc__
    return answer


async def _read(request: Request, services: Services, endpoint: Endpoint) -> Any:
    """Read the body in the endpoint's own shape. Raises Refused."""
    form = endpoint.form
    content = await receive(request, services.settings.max_body_bytes, JSON, *([FORM] if form else []))
    is_form = form and content_type(request) == FORM
    value = form(await form_fields(request, content)) if form and is_form else json_value(content)
    try:
        return endpoint.body.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        parsing.refuse([{"detail": _detail(e), "pointer": pointer(e["loc"])} for e in found])
        raise


def _detail(error: ErrorDetails) -> str:
    return "Must be a JSON object" if error["type"] in ("model_type", "dict_type") else error["msg"]


def _takes(endpoint: Endpoint) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: {"schema": inlined(endpoint.body.model_json_schema())}}
    if endpoint.form:
        content[FORM] = {"schema": {"type": "object", "additionalProperties": True}}
    return {"parameters": options.parameters(), "requestBody": {"required": True, "content": content}}
