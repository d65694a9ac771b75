"""How the OpenAPI document describes problems: made from the table of kinds."""

from itertools import groupby
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from handler.http.problem_responses import MEDIA_TYPE, problem
from handler.problems import ProblemKind

COMPONENTS = "#/components/schemas/"
EXAMPLE_ID = "019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"


class FieldError(BaseModel):
    """One thing that is wrong with the request."""

    detail: str = Field(examples=["Must be at most 5, not 9"])
    pointer: str | None = Field(None, description="JSON pointer into the body", examples=["#/17/popularity"])
    parameter: str | None = Field(None, description="Name of the path or query parameter", examples=["limit"])


class Problem(BaseModel):
    """The body of every response that is not a success (RFC 9457)."""

    type: str = Field(examples=["urn:millrace:problem:invalid-input"])
    title: str = Field(examples=["Invalid input"])
    status: int = Field(examples=[ProblemKind.INVALID_INPUT.status])
    detail: str = Field(
        description="What is wrong, and what to do about it", examples=["1 error in the input; nothing was stored."]
    )
    errors: list[FieldError] | None = Field(None, description="The first 100 errors, where there are several")
    task_id: UUID | None = Field(None, description="The task, where there is one already")


_PROTOCOL_ERROR = {
    "title": "ProtocolError",
    "description": "The body of every response of the Open Inference Protocol that is not a success.",
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "What is wrong, and what to do about it"}},
}

_TEXT, _SECONDS = {"type": "string"}, {"type": "integer"}
_CHALLENGE = {"WWW-Authenticate": {"description": "RFC 6750", "schema": _TEXT}}
_WAIT = {"Retry-After": {"description": "Seconds", "schema": _SECONDS}}
_HEADERS: dict[ProblemKind, dict[str, Any]] = {
    ProblemKind.KEY_MISSING: _CHALLENGE,
    ProblemKind.KEY_REFUSED: _CHALLENGE,
    ProblemKind.TOO_MANY_REQUESTS: {
        **_WAIT,
        "RateLimit": {"description": "What is left, and until when", "schema": _TEXT},
        "RateLimit-Policy": {"description": "The limit", "schema": _TEXT},
    },
    ProblemKind.BACKLOG_FULL: _WAIT,
    ProblemKind.LISTS_BUSY: _WAIT,
    ProblemKind.STORE_UNAVAILABLE: _WAIT,
    ProblemKind.NOT_SCORED_YET: {"Location": {"description": "The task", "schema": _TEXT}},
}


def problem_responses(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` for these kinds of problems."""
    schema = {"$ref": COMPONENTS + "Problem"}
    return _responses(kinds, MEDIA_TYPE, schema, lambda kind: problem(kind, _detail(kind)))


def protocol_error_responses(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` where errors are those of the Open Inference Protocol."""
    return _responses(kinds, "application/json", _PROTOCOL_ERROR, lambda kind: {"error": _detail(kind)})


def _responses(kinds: Any, media_type: str, schema: dict[str, Any], example: Any) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {}
    for status, group in groupby((kind for kind in ProblemKind if kind in kinds), key=lambda kind: kind.status):
        same = list(group)
        examples = {kind.slug: {"summary": kind.title, "value": example(kind)} for kind in same}
        found[status] = {
            "description": "\n".join(f"- `{kind.slug}`: {_detail(kind)}" for kind in same),
            "content": {media_type: {"schema": schema, "examples": examples}},
        }
        if headers := {name: about for kind in same for name, about in _HEADERS.get(kind, {}).items()}:
            found[status]["headers"] = headers
    return found


def _detail(kind: ProblemKind) -> str:
    return f"{kind.cause} {kind.remedy}"
