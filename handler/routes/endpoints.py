"""The models' own endpoints: public contracts of others, answered in their own shape when the task has ended."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from handler.answer import outcome
from handler.answer.outcome import require_success
from handler.http.body import FORM, JSON, JsonResponse, content_type, parse_json, with_integers
from handler.http.json_schema import inlined
from handler.http.multipart import parse_form
from handler.http.operation import AnswerFunction, Operation, success
from handler.http.request import ApiRequest
from handler.models import answered_fields
from handler.problems import ProblemKind
from handler.services import Services
from handler.submit import submission, validation
from handler.submit.options import option_parameters
from handler.submit.submission import accept_and_wait, requested_options
from serving.contract import Spec
from serving.endpoint import Endpoint


def operations(specs: Mapping[str, Spec]) -> list[Operation]:
    """Return the operations of all models' endpoints. Older forms of an endpoint are left out of the document."""
    found = []
    for spec in specs.values():
        if spec.endpoint:
            found.append(_operation(spec, spec.endpoint, tag="endpoints of models"))
        found += [_operation(spec, older, tag=None) for older in spec.older_endpoints]
    return found


def _operation(spec: Spec, endpoint: Endpoint, tag: str | None) -> Operation:
    form = (ProblemKind.INVALID_FORM,) if endpoint.form else ()
    return Operation(
        "POST",
        endpoint.path,
        _answer(spec, endpoint),
        tag,
        endpoint.operation_id,
        summary=endpoint.summary,
        responses=success(endpoint.answer, endpoint.description),
        problems=(*submission.PROBLEMS, *outcome.PROBLEMS, *form),
        request=_takes(endpoint),
    )


def _answer(spec: Spec, endpoint: Endpoint) -> AnswerFunction:
    async def answer(request: ApiRequest, services: Services, client: str | None) -> Response:
        model = services.models.get(spec.name)
        options = requested_options(request, services)
        body = await _read_body(request, services, spec, endpoint)
        values = endpoint.inputs(body)
        if not values:
            return JsonResponse(endpoint.outputs(body, {name: [] for name in answered_fields(spec)}, 0.0))

        def locate(position: int, place: tuple[str | int, ...]) -> tuple[str | int, ...]:
            return (*endpoint.locate(position, str(place[0])), *place[1:]) if place else ()

        inputs = validation.validate_with_pydantic(spec, model.manifest, values, locate)
        wait = services.settings.answer_wait_seconds
        _, task = await accept_and_wait(services, client, model, options, inputs, wait, locate)
        require_success(task, wait)
        columns = {name: task.get(name, [None] * len(values)) for name in answered_fields(spec)}
        seconds = (task["finished_at"] - task["started_at"]).total_seconds()
        return JsonResponse(endpoint.outputs(body, columns, seconds))

    answer.__doc__ = endpoint.body.__doc__
    return answer


async def _read_body(request: ApiRequest, services: Services, spec: Spec, endpoint: Endpoint) -> Any:
    """Read the body in the endpoint's own shape. Raises RequestRefused."""
    form = endpoint.form
    content = await services.bodies.read_as(request, JSON, *([FORM] if form else []))
    is_form = form and content_type(request) == FORM
    value = form(parse_form(request, content, endpoint.parts)) if form and is_form else parse_json(content)
    _check_lists(spec, value)
    try:
        return endpoint.body.model_validate(with_integers(value))
    except ValidationError as error:
        validation.refuse_invalid(validation.field_errors(error, endpoint.body, tuple))
        raise


def _check_lists(spec: Spec, value: Any) -> None:
    """Raise RequestRefused for a list with more elements than a submission may have, before validating each of them."""
    for member in value.values() if isinstance(value, dict) else ():
        if isinstance(member, list):
            validation.check_count(spec, len(member))
        else:
            _check_lists(spec, member)


def _takes(endpoint: Endpoint) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: {"schema": inlined(endpoint.body.model_json_schema())}}
    if endpoint.form:  # free, for generators trip over a second type of one body
        content[FORM] = {"schema": {"type": "object", "additionalProperties": True}}
    return {"parameters": option_parameters(), "requestBody": {"required": True, "content": content}}
