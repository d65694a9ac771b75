"""Turns every error into an RFC 9457 problem. The only place that knows which error is which HTTP status."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.exceptions import HTTPException

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 5
"""Seconds that a client is asked to wait when PostgreSQL cannot be reached: a restart takes about as long."""


class Fault(BaseModel):
    """One thing that is wrong with the request."""

    detail: str = Field(examples=["Input should be less than or equal to 5"])
    pointer: str | None = Field(None, description="JSON pointer into the body", examples=["#/17/popularity"])
    parameter: str | None = Field(None, description="Name of the path or query parameter")


class Problem(BaseModel):
    """The body of every answer that is not a success (RFC 9457)."""

    type: str = Field(examples=["urn:millrace:problem:invalid-input"])
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(description="What is wrong, and what to do about it")
    errors: list[Fault] | None = Field(None, description="The first 100 faults, where there are several")


class Refused(Exception):
    """The request cannot be served, for a reason that its client can act on."""

    def __init__(self, status: int, kind: str, detail: str, *, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = errors


def pointer(location: Sequence[int | str]) -> str:
    """Return the JSON pointer (RFC 6901, as a URI fragment) of a place in the body."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "#" + "".join("/" + quote(part, safe="~!$&'()*+,;=:@") for part in parts)


def install(app: FastAPI) -> None:
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(HTTPException, _http)
    for error in (SQLAlchemyError, OSError, TimeoutError):
        app.add_exception_handler(error, _store)
    app.add_exception_handler(Exception, _unexpected)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` for these statuses."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def _answer(
    status: int,
    kind: str,
    detail: str,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = {
        "type": f"urn:millrace:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = list(errors)
    return Response(msgspec.json.encode(body), status, dict(headers or {}), MEDIA_TYPE)


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - narrows the type that Starlette promises
    return _answer(error.status, error.kind, error.detail, error.errors)


def _invalid_parameter(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    faults = [{"detail": e["msg"], "parameter": str(e["loc"][-1])} for e in error.errors()]
    names = ", ".join(sorted({fault["parameter"] for fault in faults}))
    return _answer(422, "invalid-parameter", f"Not valid: {names}.", faults)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    path, method = request.url.path, request.method
    known: dict[int, tuple[str, str]] = {
        404: ("not-found", f"There is nothing at {path}; the endpoints are listed at /docs."),
        405: ("method-not-allowed", f"{path} does not take {method}; see the Allow header."),
        413: ("body-too-large", "The request body is over the limit; send several smaller batches."),
    }
    kind, detail = known.get(error.status_code, ("http-error", str(error.detail)))
    return _answer(error.status_code, kind, detail, headers=error.headers)


def _store(request: Request, error: Exception) -> Response:
    """PostgreSQL is away, unless it answered with an error about the statement: that one is our mistake."""
    if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) not in _AWAY:
        return _unexpected(request, error)
    log.warning("store_unavailable", error=str(error))
    detail = f"The database cannot be reached, so nothing was stored; try again in {RETRY_AFTER} s."
    return _answer(503, "store-unavailable", detail, headers={"Retry-After": str(RETRY_AFTER)})


# No state (the connection broke), or: too many connections, shutting down, crashed, starting up, cannot connect.
_AWAY = {None, "53300", "57P01", "57P02", "57P03", "08000", "08001", "08003", "08004", "08006"}


def _unexpected(request: Request, error: Exception) -> Response:
    log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    return _answer(500, "internal-error", "Something broke on our side; the log has the details.")
