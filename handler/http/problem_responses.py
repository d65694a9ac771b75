"""Turns every error into an RFC 9457 problem, or into the error of the Open Inference Protocol."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from handler.problems import ProblemKind, RequestRefused
from store import outage

log = structlog.get_logger(__name__)

JSON = "application/json"
MEDIA_TYPE = "application/problem+json"

SHOWN = 5
"""So many field errors fit into the one line of text that the Open Inference Protocol has for an error."""

RETRY_AFTER = 5
"""Seconds that a client is asked to wait when PostgreSQL cannot serve: a restart takes about as long."""

PROTOCOL = "/v2"
"""Under this path the handler speaks the Open Inference Protocol, whose errors are {"error": "…"}."""


def error_response(request: Request, error: Exception, refused: Counter[str]) -> Response:
    """Return the response to an error, in the format of the API that the request came by, and count it by its kind."""
    refusal = refusal_of(request, error)
    refused[refusal.kind.slug] += 1
    headers = dict(refusal.headers or {})
    if f"{request.url.path}/".startswith(f"{PROTOCOL}/"):
        content = msgspec.json.encode({"error": _in_one_line(refusal)})
        return Response(content, refusal.kind.status, headers, JSON)
    content = msgspec.json.encode(problem(refusal.kind, refusal.detail, refusal.errors, refusal.task_id))
    return Response(content, refusal.kind.status, headers, MEDIA_TYPE)


def problem(
    kind: ProblemKind, detail: str, errors: Sequence[Mapping[str, str]] = (), task_id: UUID | None = None
) -> dict[str, Any]:
    """Return the body of a problem, without empty members."""
    body = {"type": f"urn:millrace:problem:{kind.slug}", "title": kind.title, "status": kind.status, "detail": detail}
    optional = {"errors": list(errors), "task_id": task_id}
    return body | {name: value for name, value in optional.items() if value}


def _in_one_line(refusal: RequestRefused) -> str:
    places = (f" {e.get('pointer', e.get('parameter'))}: {e['detail']}." for e in refusal.errors[:SHOWN])
    is_new = refusal.task_id and str(refusal.task_id) not in refusal.detail
    return refusal.detail + "".join(places) + (f" It is task {refusal.task_id}." if is_new else "")


def refusal_of(request: Request, error: Exception) -> RequestRefused:
    """Return what to tell the client. An error that is neither the client's nor an outage is logged as a bug."""
    if isinstance(error, RequestRefused):
        return error
    if isinstance(error, ClientDisconnect):
        return RequestRefused(ProblemKind.HUNG_UP, "The client closed the connection before the handler answered.")
    if isinstance(error, SQLAlchemyError) and (reason := outage.reason(error)) is not None:
        log.warning("store_unavailable", reason=reason, error=str(error))
        detail = f"{reason}; try again in {RETRY_AFTER} s."
        return RequestRefused(ProblemKind.STORE_UNAVAILABLE, detail, headers={"Retry-After": str(RETRY_AFTER)})
    log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    detail = "Internal error; the handler's log has the traceback. Report the X-Request-ID of this response."
    return RequestRefused(ProblemKind.INTERNAL_ERROR, detail)
