"""Makes the OpenAPI document: FastAPI's, and in one place what FastAPI cannot know of the operations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import cleandoc
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.responses import Response

from handler import VERSION
from handler.auth.caller import EVERY_ROLE, SUBMITTERS, in_words
from handler.http.openapi_problems import (
    COMPONENTS,
    EXAMPLE_ID,
    Problem,
    problem_responses,
    protocol_error_responses,
)
from handler.http.openapi_webhooks import add_webhooks
from handler.http.operation import Operation
from handler.http.problem_responses import PROTOCOL
from handler.problems import ProblemKind
from handler.settings import HandlerSettings
from serving.contract import Spec

OpenApiDocument = dict[str, Any]

ABOUT: dict[str, Any] = {
    "title": "Millrace",
    "version": VERSION,
    "summary": "Asynchronous task-queue inference: batches in, scores out.",
    "description": "Submit inputs to a model, get a task id at once, and read the task until it has ended, or have its "
    "end posted to you. Every error is an RFC 9457 problem that names the field and the remedy.",
    "contact": {"name": "The operator of this service"},
    "license_info": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
    "servers": [{"url": "/", "description": "The service that this document comes from"}],
    "openapi_tags": [
        {"name": "tasks", "description": "Submit, read, list, cancel and replay tasks."},
        {"name": "jobs", "description": "Many tasks under one id, such as the rows of a file."},
        {"name": "endpoints of models", "description": "Answered when scored, in a shape of the model's own."},
        {"name": "models", "description": "The served models, with their schemas, versions and evaluations."},
        {"name": "outcomes", "description": "Report what became known about predictions, and review them."},
        {"name": "workers", "description": "The worker processes."},
        {"name": "webhooks", "description": "What is posted to the `callback_url` of a task or a job."},
        {"name": "open inference protocol", "description": "Version 2, as KServe's and Triton's clients speak it."},
        {"name": "health", "description": "Probes, which need no key."},
    ],
}

_KEY = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "mr_<id>_<secret>",
    "description": "An API key. Where an operation names no role, its key needs the role submit or admin.",
}


def document(operations: Sequence[Operation], specs: Mapping[str, Spec], settings: HandlerSettings) -> OpenApiDocument:
    """Return the OpenAPI document of these operations. FastAPI makes it, from their types, and answers no request."""
    app = FastAPI(**ABOUT)
    for operation in operations:
        if operation.tag is not None:
            _add(app, operation, settings)
    add_webhooks(app)
    return _completed(app.openapi(), specs, guarded=settings.auth == "required")


def _add(app: FastAPI, operation: Operation, settings: HandlerSettings) -> None:
    guarded = settings.auth == "required"
    describe = protocol_error_responses if operation.path.startswith(PROTOCOL) else problem_responses
    (status, usual), *others = operation.responses.items()
    success = dict(usual)
    app.add_api_route(
        operation.path,
        _documented(operation, guarded=guarded),
        methods=[operation.method],
        tags=[operation.tag or ""],
        operation_id=operation.operation_id or operation.answer.__name__,
        summary=operation.summary,
        status_code=status,
        response_class=JSONResponse if "model" in success else Response,
        response_model=success.pop("model", None),
        responses={status: success, **dict(others), **describe(*operation.problems, *_refusals(operation, settings))},
        openapi_extra={**operation.request, **({"security": []} if guarded and operation.public else {})},
    )


def _refusals(operation: Operation, settings: HandlerSettings) -> Iterator[ProblemKind]:
    """Yield what every operation may answer with, whatever its function raises."""
    if settings.auth == "off":
        yield ProblemKind.UNKNOWN_HOST
        if operation.method == "POST":
            yield ProblemKind.FOREIGN_ORIGIN
    elif not operation.public:
        yield from (ProblemKind.KEY_MISSING, ProblemKind.KEY_REFUSED)
        if operation.roles != EVERY_ROLE:
            yield ProblemKind.ROLE_REFUSED
    if not operation.public:
        yield from (ProblemKind.INVALID_PARAMETER, ProblemKind.STORE_UNAVAILABLE)
        if settings.rate_limit is not None:
            yield ProblemKind.TOO_MANY_REQUESTS


def _documented(operation: Operation, *, guarded: bool) -> Callable[[], None]:
    """Return a function of this name and description, whose parameters FastAPI need not understand."""

    def described() -> None:
        """Nobody calls it."""

    described.__name__, described.__doc__ = operation.answer.__name__, operation.answer.__doc__
    if guarded and not operation.public and operation.roles != SUBMITTERS:
        allowed = "any role" if operation.roles == EVERY_ROLE else f"the role {in_words(operation.roles)}"
        described.__doc__ = f"{cleandoc(operation.answer.__doc__ or '')}\n\nNeeds a key with {allowed}."
    return described


def _completed(document: OpenApiDocument, specs: Mapping[str, Spec], *, guarded: bool) -> OpenApiDocument:
    schemas = document["components"]["schemas"]
    for path, operation in _operations(document):
        _describe_path(path, operation, specs)
    if guarded:
        document["components"]["securitySchemes"] = {"key": _KEY}
    document["security"] = [{"key": []}] if guarded else []
    document["paths"], items = (_named(document[part], schemas) for part in ("paths", "webhooks"))
    # By reference: openapi-generator 7.26 writes code that does not compile for a webhook's body in its own place.
    document["components"]["pathItems"] = items
    document["webhooks"] = {name: {"$ref": f"#/components/pathItems/{name}"} for name in items}
    problem = Problem.model_json_schema(ref_template=COMPONENTS + "{model}")
    schemas |= {**problem.pop("$defs"), "Problem": problem}
    return document


def _operations(document: OpenApiDocument) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in ("paths", "webhooks"):
        for path, operations in document[part].items():
            for operation in operations.values():
                yield path, operation


def _describe_path(path: str, operation: dict[str, Any], specs: Mapping[str, Spec]) -> None:
    """Describe what the path's template leaves open: FastAPI knows some of the names, and no example."""
    known: dict[str, dict[str, Any]] = {
        "model": {"type": "string", "enum": list(specs), "examples": [next(iter(specs))]},
        "version": {"type": "string", "examples": ["1.0.0"]},
        "task_id": {"type": "string", "format": "uuid", "examples": [EXAMPLE_ID]},
        "job_id": {"type": "string", "format": "uuid", "examples": [EXAMPLE_ID]},
        "part": {"type": "integer", "minimum": 0, "maximum": 9_999_999, "examples": [0]},
    }
    named = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    others = [parameter for parameter in operation.get("parameters", ()) if parameter["in"] != "path"]
    for parameter in others:
        parameter["schema"] = _without_null(parameter["schema"])
    if named or others:
        described = [{"name": name, "in": "path", "required": True, "schema": known[name]} for name in named]
        operation["parameters"] = [*described, *others]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Drop the null that pydantic has for a parameter which may be absent: a query or a header cannot say null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if not choices:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return rest | (choices[0] if len(choices) == 1 else {"anyOf": choices})


def _named(part: Any, schemas: dict[str, Any]) -> Any:
    """Move the objects that have a title into the components, each once, and refer to them there.

    So two operations that take the same have one type in a typed client. Arrays and objects of anything say so.
    """
    if isinstance(part, list):
        return [_named(item, schemas) for item in part]
    if not isinstance(part, dict):
        return part
    part = {name: _named(value, schemas) for name, value in part.items()}
    if part.get("type") == "array" and "prefixItems" not in part:
        part.setdefault("items", {})
    elif part.get("type") == "object" and "properties" not in part:
        part.setdefault("additionalProperties", True)
    if part.get("type") != "object" or "title" not in part or "properties" not in part:
        return part
    default = {name: part.pop(name) for name in ("default",) if name in part}
    name = part["title"]
    while schemas.setdefault(name, part) != part:
        name += "_"  # another model has a schema of this name
    return {"$ref": COMPONENTS + name, **default}
