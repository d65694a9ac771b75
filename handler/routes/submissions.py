"""Accept submissions: `POST /submit`, one for each model, and `POST /predict`."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from handler.answer.bodies import Accepted, ValidatedRows, finished_task
from handler.answer.outcome import invalid_input
from handler.http.body import JSON, JsonResponse
from handler.http.operation import AnswerFunction, Operation, success
from handler.http.request import ApiRequest
from handler.problems import MAX_FIELD_ERRORS, ProblemKind
from handler.services import Services
from handler.submit import reading, submission, validation
from handler.submit.options import input_in_query, option_parameters
from handler.submit.submission import accept, accept_and_wait, requested_options
from serving.contract import Spec
from store.states import FINAL
from store.submissions import AcceptedTask

FLAGSHIP = "report_scorer"
"""The model whose inputs `POST /submit` and `POST /predict` take."""


def operations(specs: Mapping[str, Spec]) -> list[Operation]:
    """Return the operations, with a submit of its own for each model so that OpenAPI knows its inputs."""
    flagship = specs[FLAGSHIP]
    task = success(finished_task(flagship), "The finished task, with its outputs if it has succeeded")
    return [
        _submit_operation(flagship, "/submit", "submit"),
        *(_submit_operation(spec, f"/models/{spec.name}/submit", f"submit_{spec.name}") for spec in specs.values()),
        Operation(
            "POST",
            "/predict",
            _predict(FLAGSHIP),
            "tasks",
            summary="Score one report now",
            responses=task | _STORED,
            problems=submission.PROBLEMS,
            request=_request(flagship, many=False),
        ),
        Operation("POST", "/models/{model}/submit", _submit(None)),
        Operation(
            *("POST", "/models/{model}/validate", validate_rows, "tasks"),
            responses=success(ValidatedRows, "How many rows are valid, and what is wrong with the others"),
            problems=(ProblemKind.UNKNOWN_MODEL, *submission.PROBLEMS),
            request=_any_model(specs),
        ),
    ]


def _submit_operation(spec: Spec, path: str, operation_id: str) -> Operation:
    return Operation(
        "POST",
        path,
        _submit(spec.name),
        "tasks",
        operation_id,
        summary=f"Submit inputs: {spec.title.lower()}",
        responses=_STORED,
        problems=submission.PROBLEMS,
        request=_request(spec, many=True),
    )


def _submit(name: str | None) -> AnswerFunction:
    """Return what takes the inputs of this model or, without one, of the model that the path names."""

    async def submit(request: ApiRequest, services: Services, client: str | None) -> Response:
        """Store a JSON array of inputs and answer at once; the scores are read at `GET /task/{task_id}`."""
        model = services.models.get(name or request.path_params["model"])
        options = requested_options(request, services)
        inputs = await reading.read_inputs(request, services.bodies, model.spec, model.manifest)
        return _stored(await accept(services, client, model, options, inputs))

    return submit


async def validate_rows(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Say which rows of a body would be refused. Nothing is stored. It takes every format of a submission."""
    model = services.models.get(request.path_params["model"])
    rows = await reading.read_sifted(request, services.bodies, model.spec, model.manifest)
    faults = sorted(rows.rejected.items())
    return JsonResponse(
        {
            "valid": rows.inputs.n_inputs if rows.inputs else 0,
            "rejected": len(faults),
            "rejects": [{"row": position + 1, "errors": errors} for position, errors in faults[:MAX_FIELD_ERRORS]],
        }
    )


def _predict(name: str) -> AnswerFunction:
    async def predict(request: ApiRequest, services: Services, client: str | None) -> Response:
        """Submit one input and wait a few seconds for its score: 200 with the finished task, else 202."""
        model, locate = services.models.get(name), validation.locate_single
        spec, manifest = model.spec, model.manifest
        in_query = input_in_query(request.query_params, spec) if request.scope["query_string"] else {}
        options = requested_options(request, services, in_query)
        if in_query:
            inputs = validation.validate(spec, manifest, [in_query], locate)
        else:
            inputs = await validation.read_one(request, services.bodies, spec, manifest)
        wait = services.settings.predict_wait_seconds
        accepted, task = await accept_and_wait(services, client, model, options, inputs, wait, locate)
        if task.get("errors"):
            raise invalid_input(task)
        return JsonResponse(task) if task["status"] in FINAL else _stored(accepted)

    return predict


def _stored(accepted: AcceptedTask) -> Response:
    headers = {"Location": f"/task/{accepted.task_id}"}
    if accepted.replayed:
        headers["Idempotency-Replayed"] = "true"
    return JsonResponse({"task_id": accepted.task_id, "status": accepted.status}, headers, status=202)


_STORED = success(
    Accepted,
    "Stored durably; it will be scored",
    202,
    headers={
        "Location": {"description": "Where to read the task", "schema": {"type": "string"}},
        "Idempotency-Replayed": {
            "description": "true if an earlier request with this idempotency key made the task",
            "schema": {"type": "string"},
        },
    },
)


ANY_ROWS = {"type": "array", "items": {"type": "object"}, "minItems": 1}


def _any_model(specs: Mapping[str, Spec]) -> dict[str, Any]:
    """Describe rows of whichever model the path names, with an example for each."""
    examples = {name: {"summary": spec.title, "value": [spec.example]} for name, spec in specs.items()}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": ANY_ROWS, "examples": examples}}}}


def _request(spec: Spec, *, many: bool) -> dict[str, Any]:
    schema: Any = spec.input.model_json_schema()
    example: Any = spec.example
    if many:
        bounds = {"minItems": 1, "maxItems": spec.max_inputs}
        schema, example = {"type": "array", **bounds, "items": schema}, [example]
    content = {JSON: {"schema": schema, "example": example}}
    return {"parameters": option_parameters(), "requestBody": {"required": True, "content": content}}
