"""Turns every error into an RFC 9457 problem. The only place that knows which error is which HTTP status."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

log = structlog.get_logger(__name__)

JSON = "application/json"
MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 100
"""So many faults are listed: enough to see what is wrong, and an answer that stays small."""

SHOWN = 5
"""So many faults fit into the one line of text that the Open Inference Protocol has for an error."""

RETRY_AFTER = 5
"""Seconds that a client is asked to wait when PostgreSQL cannot be reached: a restart takes about as long."""


class Fault(BaseModel):
    """One thing that is wrong with the request."""

    detail: str = Field(examples=["Input should be less than or equal to 5"])
    pointer: str | None = Field(None, description="JSON pointer into the body", examples=["#/17/popularity"])
    parameter: str | None = Field(None, description="Name of the path or query parameter", examples=["limit"])


class Problem(BaseModel):
    """The body of every answer that is not a success (RFC 9457)."""

    type: str = Field(examples=["urn:millrace:problem:invalid-input"])
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(
        description="What is wrong, and what to do about it", examples=["1 fault in the input; nothing was stored."]
    )
    errors: list[Fault] | None = Field(None, description="The first 100 faults, where there are several")
    task_id: UUID | None = Field(None, description="The task, where there is one already")


class Refused(Exception):
    """The request cannot be served, for a reason that its client can act on."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        task_id: UUID | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = headers
        self.task_id = task_id


def invalid_parameters(faults: Sequence[Mapping[str, str]]) -> Refused:
    detail = "; ".join(f"{fault['parameter']}: {fault['detail']}" for fault in faults)
    return Refused(422, "invalid-parameter", f"{detail}.", errors=faults)


def pointer(location: Sequence[int | str]) -> str:
    """Return the JSON pointer (RFC 6901, as a URI fragment) of a place in the body."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "#" + "".join("/" + quote(part, safe="~!$&'()*+,;=:@") for part in parts)


class Said(NamedTuple):
    """What is to be said of an error."""

    status: int
    kind: str
    detail: str
    errors: Sequence[Mapping[str, str]] = ()
    headers: Mapping[str, str] | None = None
    task_id: UUID | None = None


PROTOCOL = "/v2"
"""Under this path the Open Inference Protocol is spoken, whose errors are {"error": "…"}."""


def install(app: FastAPI, refused: Counter[str]) -> None:
    """Answer every error with a problem, and count them by kind."""
    app.state.refused = refused
    for error in _PROBLEMS:
        app.add_exception_handler(error, answer)


def answer(request: Request, error: Exception) -> Response:
    """Return the problem for an error, in the words of the protocol that the request came by."""
    said = next(_PROBLEMS[kind] for kind in type(error).__mro__ if kind in _PROBLEMS)(request, error)
    request.app.state.refused[said.kind] += 1
    headers = dict(said.headers or {})
    if f"{request.url.path}/".startswith(f"{PROTOCOL}/"):
        return Response(msgspec.json.encode({"error": _in_one_line(said)}), said.status, headers, JSON)
    content = body(said.status, said.kind, said.detail, said.errors, said.task_id)
    return Response(msgspec.json.encode(content), said.status, headers, MEDIA_TYPE)


def _in_one_line(said: Said) -> str:
    places = (f" {fault.get('pointer', fault.get('parameter'))}: {fault['detail']}." for fault in said.errors[:SHOWN])
    task = f" It is task {said.task_id}." if said.task_id and str(said.task_id) not in said.detail else ""
    return said.detail + "".join(places) + task


def body(
    status: int, kind: str, detail: str, errors: Sequence[Mapping[str, str]] = (), task_id: UUID | None = None
) -> dict[str, Any]:
    """Return what a Problem says, without the members that say nothing."""
    said = {"type": f"urn:millrace:problem:{kind}", "title": HTTPStatus(status).phrase, "status": status}
    more = {"errors": list(errors), "task_id": task_id}
    return {**said, "detail": detail, **{name: value for name, value in more.items() if value}}


def _refused(_: Request, error: Exception) -> Said:
    assert isinstance(error, Refused)  # noqa: S101 - narrows the type that Starlette promises
    return Said(error.status, error.kind, error.detail, error.errors, error.headers, error.task_id)


def _invalid_parameter(request: Request, error: Exception) -> Said:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    faults = [
        {"detail": parameter_detail(e["type"], e["msg"]), "parameter": str(e["loc"][-1])}
        for e in error.errors()[:MAX_FAULTS]
    ]
    return _refused(request, invalid_parameters(faults))


def parameter_detail(kind: str, words: str) -> str:
    """Return what to say of a parameter, by the type of pydantic's error, or else pydantic's own words."""
    return _PARAMETER.get(kind, words)


_RFC_3339 = "Give the time with its offset, as 2026-01-31T09:00:00Z; in a query, a + is written %2B"
_PARAMETER = {
    "extra_forbidden": "There is no such parameter; the parameters are listed at /docs",
    "timezone_aware": _RFC_3339,
    "datetime_from_date_parsing": _RFC_3339,
    "datetime_parsing": _RFC_3339,
}
"""What to say in place of pydantic's words, by the type of its error."""


def _gone(_: Request, __: Exception) -> Said:
    """The client hung up while it sent its request, so nobody reads this answer."""
    return Said(400, "incomplete-request", "The request ended before its body did.")


def _http(request: Request, error: Exception) -> Said:
    assert isinstance(error, HTTPException)  # noqa: S101
    path, method = request.url.path, request.method
    known: dict[int, tuple[str, str]] = {
        404: ("not-found", f"There is nothing at {path}; the endpoints are listed at /docs."),
        405: ("method-not-allowed", f"{path} does not take {method}; see the Allow header."),
    }
    kind, detail = known.get(error.status_code, ("http-error", str(error.detail)))
    return Said(error.status_code, kind, detail, headers=error.headers)


def _store(request: Request, error: Exception) -> Said:
    """PostgreSQL is away, unless it answered with an error about the statement: that one is our mistake."""
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    if state is not None and not state.startswith(_AWAY):
        return _unexpected(request, error)
    log.warning("store_unavailable", error=str(error))
    detail = f"The database cannot serve this now; try again in {RETRY_AFTER} s."
    return Said(503, "store-unavailable", detail, headers={"Retry-After": str(RETRY_AFTER)})


_AWAY = ("08", "25006", "53", "57")
"""SQLSTATE: no connection, read-only (a standby), out of space or connections, stopping or starting."""


def _unexpected(request: Request, error: Exception) -> Said:
    log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    return Said(500, "internal-error", "Something broke on our side; the log has the details.")


_PROBLEMS: dict[type[Exception], Callable[[Request, Exception], Said]] = {
    Refused: _refused,
    RequestValidationError: _invalid_parameter,
    HTTPException: _http,
    SQLAlchemyError: _store,
    OSError: _store,
    TimeoutError: _store,
    ClientDisconnect: _gone,
    Exception: _unexpected,
}
