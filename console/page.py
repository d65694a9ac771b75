"""The way of every request to the console: who looks, may they, and an error as a page.

A page is an operation of the handler like any other, behind the same router, counters and limits; only that the
session's cookie says who sends it, in place of a header.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.responses import RedirectResponse, Response

from console.rendering import Templates
from console.sampler import Sampler
from console.session import Sessions, Visitor
from console.shared import SharedLooks
from handler.auth.caller import EVERY_ROLE, Caller, role_refused
from handler.auth.same_origin import refuse_other_sites
from handler.http.body import FORM, content_type
from handler.http.compression import IDENTITY
from handler.http.multipart import parse_form
from handler.http.operation import AnswerFunction, Operation
from handler.http.parameters import refuse_repeated
from handler.http.problem_responses import refusal_of
from handler.http.request import ApiRequest
from handler.problems import ProblemKind, RequestRefused
from handler.services import Services
from store.keys import Role

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

CONSOLE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", POLICY),
)
"""Scripts and styles are files of this handler, and none stands in a page. No other site frames a page."""

HTML = "text/html"
SMALL_FORM = 16 * 2**10
"""Bytes of a form of a page: a reason of 1,000 characters, escaped, has at most 12,000."""

FORM_FIELDS = 100
"""Fields of a form that are read, unless a model has more."""

LARGE_FORM = 2**16
"""Bytes from which on a form is parsed in a thread, so that the event loop goes on."""

SEE_OTHER = 303
NO_MORE = 204
"""What ends an EventSource, and changes nothing in a page."""


@dataclass(frozen=True)
class Console:
    """What the pages share: made once a process."""

    sessions: Sessions
    templates: Templates
    sampler: Sampler
    shared: SharedLooks = field(default_factory=SharedLooks)


@dataclass(frozen=True)
class Visit:
    """One request to the console, and who sends it."""

    console: Console
    request: ApiRequest
    services: Services
    visitor: Visitor | None

    @property
    def caller(self) -> Caller:
        return self.request.caller

    @property
    def root(self) -> str:
        """Where the handler stands behind a proxy: before every path of a link."""
        root: str = self.request.scope.get("root_path", "")
        return root

    def render(self, template: str, status: int = 200, **values: object) -> Response:
        """Return a page."""
        return Response(self.html(template, **values), status, media_type=HTML)

    def html(self, template: str, **values: object) -> str:
        """Return what a template makes of the values, and of who looks."""
        shared = {"root": self.root, "visitor": self.visitor, "auth": self.services.settings.auth, "visit": self}
        return self.console.templates.render(template, **shared, **values)

    def go_to(self, path: str) -> Response:
        """Send the browser to another page of the console; htmx follows no redirect from a part of a page."""
        if b"hx-request" in self.request.index:
            return Response(headers={"HX-Redirect": self.root + path})
        return RedirectResponse(self.root + path, SEE_OTHER)

    async def form(self) -> dict[str, str | bytes]:
        """Return the few short fields of a form, the last of each name. Raises RequestRefused."""
        return _fields(self.request, await self._form_body(SMALL_FORM), ())

    async def large_form(self, names: Sequence[str]) -> dict[str, str | bytes]:
        """Return a form's fields of these names, which may hold files, the last of each. Raises RequestRefused."""
        body = await self._form_body(None)
        if len(body) < LARGE_FORM:
            return _fields(self.request, body, names)
        return await asyncio.to_thread(_fields, self.request, body, names)

    async def _form_body(self, most: int | None) -> bytes:
        if (self.request.header(b"content-encoding") or IDENTITY) != IDENTITY:  # a browser compresses no form
            detail = "Send the form without Content-Encoding."
            raise RequestRefused(ProblemKind.WRONG_CONTENT_ENCODING, detail)
        return await self.services.bodies.read(self.request, most)


def _fields(request: ApiRequest, body: bytes, names: Sequence[str]) -> dict[str, str | bytes]:
    """Return a form's fields; those of one with files must be of these names. Raises RequestRefused."""
    if content_type(request) == FORM:
        return parse_form(request, body, names)
    most = max(FORM_FIELDS, len(names))
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=most))
    except ValueError:
        detail = f"The form is no text in UTF-8, or has more than {most} fields."
        raise RequestRefused(ProblemKind.INVALID_FORM, detail) from None


Answer = Callable[[Visit], Awaitable[Response]]


def page(
    console: Console, answer: Answer, *, roles: frozenset[Role] = EVERY_ROLE, open_to_all: bool = False
) -> AnswerFunction:
    """Return what the router calls for a page that these roles see, or that needs no session."""

    async def answered(request: ApiRequest, services: Services, client: str | None) -> Response:
        visit = Visit(console, request, services, None)
        try:
            if request.method == "POST":
                refuse_other_sites(request.index)
            visitor = await console.sessions.visitor(request, services)
            visit = Visit(console, request, services, visitor)
            if visitor is None and not open_to_all:
                return _to_login(visit)
            if visitor is not None:
                _admit(visit, visitor, roles)
            if request.scope["query_string"]:
                refuse_repeated(request)
            return await answer(visit)
        except Exception as error:
            return _error_page(visit, error)

    answered.__name__, answered.__doc__ = answer.__name__, answer.__doc__
    return answered


def operation(
    method: str, path: str, answer: AnswerFunction, headers: tuple[tuple[bytes, bytes], ...] = CONSOLE_HEADERS
) -> Operation:
    """Return a page's operation: public for the API, since the session is the page's own."""
    return Operation(method, path, answer, public=True, headers=headers)


def _admit(visit: Visit, visitor: Visitor, roles: frozenset[Role]) -> None:
    caller = visit.request.caller = visitor.caller
    if visit.services.authenticator is not None:
        visit.services.authenticator.count(visit.request, caller)
    if caller.role not in roles:
        raise role_refused(caller.role, roles)


def _to_login(visit: Visit) -> Response:
    """Ask who it is, and come back afterwards; a part of a page has the whole page go there."""
    request = visit.request
    if "event-stream" in (request.header(b"accept") or "") or b"x-part" in request.index:
        return Response(status_code=NO_MORE, headers={"HX-Refresh": "true"})
    query = f"?{request.url.query}" if request.url.query else ""
    back = quote(request.url.path.removeprefix(visit.root) + query, safe="/") if request.method != "POST" else "/"
    return visit.go_to(f"/console/login?next={back}")


def _error_page(visit: Visit, error: Exception) -> Response:
    refusal = refusal_of(visit.request, error)
    visit.services.refused[refusal.kind.slug] += 1
    response = visit.render("error.html", refusal.kind.status, kind=refusal.kind, refusal=refusal)
    response.headers.update({name: value for name, value in (refusal.headers or {}).items() if name != "Location"})
    return response


def own_path(given: str) -> str:
    """Return a path of the console that an address asks to come back to; `/` in place of any other."""
    try:
        parts = urlsplit(given)
    except ValueError:  # a bracket that nothing closes
        return "/"
    plain = not parts.scheme and not parts.netloc and given.startswith("/") and "\\" not in given
    mine = given.split("?")[0] == "/" or given.startswith("/console/")
    return given if plain and mine and given.isprintable() else "/"
