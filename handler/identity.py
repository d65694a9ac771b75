"""Who asks: the client whose API key a request carries, and whether that client asks too often."""

from math import ceil
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request

from handler.problems import Refused
from handler.rate import Limiter
from handler.services import Serving

_CHALLENGE = 'Bearer realm="millrace"'


async def identify(request: Request, services: Serving) -> str | None:
    """Return the client, or None where nobody needs a key (AUTH=off). Raises Refused."""
    client = None
    if services.keyring is not None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            detail = "Send an API key with the request, in the header Authorization: Bearer mr_…"
            raise Refused(401, "key-missing", detail, headers={"WWW-Authenticate": _CHALLENGE})
        client = await services.keyring.client(key.strip())
        if client is None:
            challenge = f'{_CHALLENGE}, error="invalid_token"'
            raise Refused(
                401, "key-refused", "There is no such API key, or no more.", headers={"WWW-Authenticate": challenge}
            )
    if services.limiter is not None:
        # Without keys there is nothing better to tell clients apart by than where they come from.
        _count(services.limiter, client or (request.client.host if request.client else ""))
    return client


Client = Annotated[str | None, Depends(identify)]
"""Whose tasks are submitted, seen and changed; None: everybody's."""


def _count(limiter: Limiter, client: str) -> None:
    wait = ceil(limiter.wait(client))
    if wait:
        rate = limiter.rate
        raise Refused(
            429,
            "too-many-requests",
            f"More than {rate.requests} requests in {rate.seconds} s; try again in {wait} s.",
            headers={
                "Retry-After": str(wait),
                "RateLimit-Policy": f'"client";q={rate.requests};w={rate.seconds}',
                "RateLimit": f'"client";r=0;t={wait}',
            },
        )


def describe(app: FastAPI) -> None:
    """Say in the OpenAPI document that operations which may answer 401 take a key; /docs then asks for one."""
    generate = app.openapi
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "mr_<id>_<secret>", "description": "An API key"}

    def openapi() -> dict[str, Any]:
        document = generate()
        document["components"]["securitySchemes"] = {"key": scheme}
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            if "401" in operation["responses"]:
                operation["security"] = [{"key": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the document
