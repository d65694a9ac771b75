"""The page that shows the API, the document it is made of, and what it loads, all from this host."""

import asyncio
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

import msgspec
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import Response

from handler.http.openapi import ABOUT
from handler.http.operation import API_HEADERS, STATIC_HEADERS, AnswerFunction, Operation
from handler.http.request import ApiRequest
from handler.services import Services
from serving import catalogue
from serving.contract import Spec

ASSETS = {
    "swagger-ui-bundle.js": "application/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}

_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.S)


MakeDocument = Callable[[Mapping[str, Spec]], dict[str, Any]]
"""Makes the OpenAPI document that describes these models."""


def docs_operations(document: MakeDocument) -> list[Operation]:
    """Return the pages: none of them needs a key."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",  # relative, so that it is found behind a prefix as well
        title=f"{ABOUT['title']} - Swagger UI",
        swagger_js_url="swagger/swagger-ui-bundle.js",
        swagger_css_url="swagger/swagger-ui.css",
        swagger_favicon_url="swagger/favicon-32x32.png",
        swagger_ui_parameters={
            "tryItOutEnabled": True,
            "persistAuthorization": True,
            "filter": True,
            "displayRequestDuration": True,
        },
    ).body
    content = bytes(page)
    assets = files("fastapi_swagger.resources")
    return [
        Operation("GET", "/docs", _file(content, "text/html"), public=True, headers=_page_headers(content)),
        Operation("GET", "/openapi.json", _openapi(document), public=True),
        *(
            Operation(
                "GET",
                f"/swagger/{name}",
                _file(assets.joinpath(name).read_bytes(), kind),
                public=True,
                headers=STATIC_HEADERS,
            )
            for name, kind in ASSETS.items()
        ),
    ]


def _file(content: bytes, media_type: str) -> AnswerFunction:
    async def answer(request: ApiRequest, services: Services, client: str | None) -> Response:
        return Response(content, media_type=media_type)

    return answer


def _openapi(document: MakeDocument) -> AnswerFunction:
    latest: tuple[int, bytes] = (-1, b"")
    making = asyncio.Lock()

    async def openapi(request: ApiRequest, services: Services, client: str | None) -> Response:
        nonlocal latest
        revision, specs = services.models.registry.revision, services.models.specs
        async with making:
            if not latest[1] or latest[0] != revision:  # made in a thread: it takes as long as a thousand requests
                described = specs or catalogue.specs()
                latest = (revision, msgspec.json.encode(await asyncio.to_thread(document, described)))
        return Response(latest[1], media_type="application/json")

    return openapi


def _page_headers(page: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Let the page run its own script, which is known by its hash, and load the rest from here."""
    hashes = (b"'sha256-" + b64encode(sha256(script).digest()) + b"'" for script in _SCRIPT.findall(page))
    scripts = b" ".join((b"'self'", *hashes))
    policy = (
        b"default-src 'none'; script-src " + scripts + b"; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return tuple((name, policy if name == b"content-security-policy" else value) for name, value in API_HEADERS)
