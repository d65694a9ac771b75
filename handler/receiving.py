"""Receives request bodies: bounded, of a known content type, as bytes or as a form's fields."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from pydantic_core import from_json
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from handler.problems import Refused
from handler.services import Services

JSON = "application/json"
FORM = "multipart/form-data"


async def receive(request: Request, max_bytes: int, *content_types: str) -> bytes:
    """Return the body. Nobody is let off the content type: a browser can send anything else across sites unasked.

    Raises Refused.
    """
    given = content_type(request)
    if given not in content_types:
        stated = f"not {given!r}" if given else "but the header is missing"
        raise Refused(415, "wrong-content-type", f"Content-Type must be {' or '.join(content_types)}, {stated}.")
    coding = content_encoding(request)
    if coding != "identity":
        raise Refused(415, "wrong-content-encoding", f"Content-Encoding {coding!r} is not read here; send it plain.")
    return await bounded(request, max_bytes)


def content_encoding(request: Request) -> str:
    return request.headers.get("content-encoding", "identity").strip().lower()


async def bounded(request: Request, max_bytes: int) -> bytes:
    """Return the body, whatever it is.

    Raises Refused for one that is too large, or for which there is no room at present, before all of it has come, and
    for one that takes too long to come.
    """
    chunks = []
    size = int(request.headers.get("content-length", 0))
    if size <= max_bytes:
        services: Services = request.app.state.services
        services.room.look(size)
        size = 0
        patience = services.patience
        reading = patience.begin()
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    break
                services.room.take(len(chunk))
                chunks.append(chunk)
        finally:
            if patience.end(reading):
                raise _too_slow(patience.seconds)
    if size > max_bytes:
        raise Refused(413, "body-too-large", f"The body is over {max_bytes} bytes; send several smaller batches.")
    return b"".join(chunks)


def _too_slow(seconds: float) -> Refused:
    detail = f"The body did not come within {seconds:g} s; send a smaller batch, or on a faster line."
    return Refused(408, "body-too-slow", detail, headers={"Connection": "close"})


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def form_fields(request: Request, body: bytes) -> dict[str, str | bytes]:
    """Read a multipart form: texts as they are, files as bytes. Raises Refused."""

    async def stream() -> AsyncIterator[bytes]:
        yield body

    try:
        parser = MultiPartParser(request.headers, stream(), max_files=10, max_fields=10, max_part_size=len(body))  # type: ignore[arg-type]
        form = await parser.parse()
        fields = {n: await v.read() if isinstance(v, UploadFile) else v for n, v in form.multi_items()}
        await form.close()
        return fields
    except (MultiPartException, KeyError, ValueError) as error:
        raise Refused(422, "invalid-form", f"The multipart form cannot be read: {error}.") from None


def json_value(body: bytes) -> Any:
    """Read JSON; raises Refused with what is wrong and where."""
    try:
        return from_json(body)
    except ValueError as error:
        fault = str(error)
    if not body.strip():
        fault = "it is empty"
    elif body.startswith(_BYTE_ORDER_MARKS):
        fault = "it starts with a byte order mark; send UTF-8 without one"
    raise Refused(422, "invalid-json", f"The body is not valid JSON: {fault}.")


_BYTE_ORDER_MARKS = (BOM_UTF8, BOM_UTF16_LE, BOM_UTF16_BE)
