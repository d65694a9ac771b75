"""How the OpenAPI document describes the answers that are problems."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from handler.problems import MEDIA_TYPE, Problem, body

_DOCUMENTED: dict[int, tuple[Any, ...]] = {
    401: (
        "There is no API key with the request, or none that is in force",
        "key-missing",
        "Send an API key with the request, in the header Authorization: Bearer mr_…",
    ),
    403: (
        "With AUTH=off: a page of an origin that is not in CORS_ORIGINS posts",
        "foreign-origin",
        "The Origin header says 'https://example.com', and with AUTH=off pages of other origins may not post. "
        "If its scripts shall use the API, start the handler with it in CORS_ORIGINS.",
    ),
    404: ("There is none of this name or id", "unknown-task", "There is no task 019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01."),
    408: (
        "The body did not come within BODY_TIMEOUT_SECONDS",
        "body-too-slow",
        "The body did not come within 60 s; send a smaller batch, or on a faster line.",
    ),
    413: (
        "The body is over MAX_BODY_BYTES",
        "body-too-large",
        "The body is over 8388608 bytes; send several smaller batches.",
    ),
    409: (
        "The task is not in a state in which this can be done",
        "task-ended",
        "Task 019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01 is SUCCESS: only a task that goes on can be cancelled.",
    ),
    415: (
        "The body is not said to be JSON",
        "wrong-content-type",
        "Content-Type must be application/json, not 'text/plain'.",
    ),
    421: (
        "With AUTH=off: the Host header is a name that is not in ALLOWED_HOSTS",
        "unknown-host",
        "The Host header says 'example.com', and with AUTH=off only localhost, addresses and the names in "
        "ALLOWED_HOSTS are served. If that is a name of this handler, start it with the name in ALLOWED_HOSTS.",
    ),
    422: (
        "The request is not valid; nothing was stored",
        "invalid-input",
        "1 fault in the input; nothing was stored.",
        {"detail": "Input should be less than or equal to 5", "pointer": "#/17/popularity"},
    ),
    429: (
        "The client asked more often than RATE_LIMIT allows",
        "too-many-requests",
        "More than 600 requests in 60 s; try again in 1 s.",
    ),
    500: (
        "The model could not score the input; the task says why, and can be replayed",
        "task-failed",
        "Scoring failed: WrongOutputs: the model gave no 'score'.",
    ),
    504: (
        "Not scored in time; the task goes on, and can be read",
        "not-scored-yet",
        "Not scored within 30 s. It will be: read it at GET /task/019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01.",
    ),
    503: (
        "PostgreSQL cannot be reached, or too much waits (backlog-full); try again later",
        "store-unavailable",
        "The database cannot serve this now; try again in 5 s.",
    ),
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` for these statuses."""
    return {status: _described(status, *_DOCUMENTED[status]) for status in statuses}


def documented_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` for these statuses where errors are those of the Open Inference Protocol."""
    described = documented(*statuses)
    for status, response in described.items():
        detail = _DOCUMENTED[int(status)][2]
        response["content"] = {"application/json": {"schema": _ERROR, "example": {"error": detail}}}
    return described


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "What is wrong, and what to do about it"}},
}


def _described(status: int, description: str, kind: str, detail: str, *errors: Mapping[str, str]) -> dict[str, Any]:
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": body(status, kind, detail, errors)}
    response: dict[str, Any] = {"description": description, "content": {MEDIA_TYPE: content}}
    if status in _HEADERS:
        response["headers"] = {
            name: {"description": about, "schema": schema} for name, about, schema in _HEADERS[status]
        }
    return response


_TEXT, _SECONDS = {"type": "string"}, ("Retry-After", "Seconds", {"type": "integer"})
_HEADERS: dict[int, list[tuple[str, str, dict[str, str]]]] = {
    401: [("WWW-Authenticate", "RFC 6750", _TEXT)],
    429: [_SECONDS, ("RateLimit", "What is left, and until when", _TEXT), ("RateLimit-Policy", "The limit", _TEXT)],
    503: [_SECONDS],
    504: [("Location", "The task", _TEXT)],
}


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Put the definitions that a schema of pydantic's refers to in their places, for use inside another document."""
    definitions = schema.get("$defs", {})

    def resolve(part: Any) -> Any:
        if isinstance(part, list):
            return [resolve(item) for item in part]
        if not isinstance(part, dict):
            return part
        if (reference := part.get("$ref")) is not None:
            part = {**definitions[reference.rpartition("/")[2]], **part}
        return {name: resolve(value) for name, value in part.items() if name not in ("$defs", "$ref")}

    resolved: dict[str, Any] = resolve(schema)
    return resolved


def describe_problems(app: FastAPI) -> None:
    """Put the problem's schema into the document, in place of FastAPI's own."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = document["components"]["schemas"]
        schemas |= {**schema.pop("$defs"), "Problem": schema}
        # FastAPI describes its own body of a 422 wherever a parameter could be wrong; nobody gets that one here.
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the document
