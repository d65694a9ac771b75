"""One operation of the API: the function that answers it, and what the OpenAPI document says of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from handler.auth.caller import SUBMITTERS
from handler.http.request import ApiRequest
from handler.problems import ProblemKind
from handler.services import Services
from store.keys import Role

AnswerFunction = Callable[[ApiRequest, Services, str | None], Awaitable[Response]]
"""Takes the request, the handler's services and the client (None with AUTH=off). Its docstring is the description."""

_NOSNIFF = (b"x-content-type-options", b"nosniff")
_NO_SCRIPTS = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")

API_HEADERS = (_NOSNIFF, (b"cache-control", b"no-store"), _NO_SCRIPTS)
"""No browser may guess the type of a response, store it, show it in a frame, or run what is in it."""

STATIC_HEADERS = (_NOSNIFF, (b"cache-control", b"public, max-age=3600"), _NO_SCRIPTS)

ANY_METHOD = "*"


def success(model: Any, description: str, status: int = 200, **more: Any) -> dict[int, dict[str, Any]]:
    """Describe a successful response; `more` has its OpenAPI `headers`."""
    return {status: {"model": model, "description": description, **more}}


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    answer: AnswerFunction
    tag: str | None = None
    """The heading in the OpenAPI document that the operation stands under; without one, it is not in the document."""
    operation_id: str | None = None
    summary: str | None = None
    responses: Mapping[int, dict[str, Any]] = field(default_factory=dict)
    """The successful responses by status, the usual one first: `description`, and `model` or `content`."""
    problems: tuple[ProblemKind, ...] = ()
    """What it may raise itself, beside what every operation may answer with (openapi.py)."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """The OpenAPI description of `parameters` and `requestBody`."""
    public: bool = False
    """Whether it needs no API key."""
    roles: frozenset[Role] = SUBMITTERS
    """The roles whose keys may use it."""
    headers: tuple[tuple[bytes, bytes], ...] = API_HEADERS
    """What each of its responses carries."""
