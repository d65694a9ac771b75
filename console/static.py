"""The files that pages load, all from this handler."""

from starlette.responses import Response

from console.rendering import STATIC
from handler.http.operation import STATIC_HEADERS, AnswerFunction, Operation
from handler.http.request import ApiRequest
from handler.services import Services

KINDS = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "triage.css": "text/css",
    "triage.js": "text/javascript",
}


def operations() -> list[Operation]:
    """Return an operation for each file: none needs a key."""
    return [
        Operation("GET", f"/console/static/{name}", _file(name, kind), public=True, headers=STATIC_HEADERS)
        for name, kind in KINDS.items()
    ]


def _file(name: str, kind: str) -> AnswerFunction:
    content = (STATIC / name).read_bytes()

    async def static_file(request: ApiRequest, services: Services, client: str | None) -> Response:
        return Response(content, media_type=kind)

    return static_file
