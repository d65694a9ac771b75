"""Turns a request body into a payload to store, or says everything that is wrong with it."""

from typing import Any

import msgspec
from fastapi import Request
from pydantic import ValidationError
from pydantic_core import from_json

from handler.problems import Refused, pointer
from models import wire
from models.contract import Spec

MAX_FAULTS = 100


async def read_batch(request: Request, spec: Spec) -> tuple[bytes, int]:
    """Read a JSON array of inputs; return the payload and how many inputs it has. Raises Refused."""
    body = await _read(request)
    try:
        n_inputs = len(wire.decoder(spec).decode(body))
    except msgspec.DecodeError:
        body, n_inputs = _decide(spec, body)
    if n_inputs == 0:
        raise Refused(422, "invalid-input", "The array is empty; send at least one input.")
    _check_count(spec, n_inputs)
    return body, n_inputs


async def read_one(request: Request, spec: Spec) -> tuple[bytes, int]:
    """Read one JSON object as a payload with one input. Raises Refused."""
    body = await _read(request)
    try:
        msgspec.json.decode(body, type=wire.row(spec))
    except msgspec.DecodeError:
        if not isinstance(_json(body), dict):
            raise Refused(422, "invalid-input", "The body must be one JSON object.") from None
        return _validated(spec, b"[" + body + b"]", depth=1)
    return b"[" + body + b"]", 1


async def _read(request: Request) -> bytes:
    """Return the body. Nobody is let off the content type: a browser can send anything else across sites unasked."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        stated = f"not {content_type!r}" if content_type else "but the header is missing"
        raise Refused(415, "wrong-content-type", f"Content-Type must be application/json, {stated}.")
    return await request.body()


def _decide(spec: Spec, body: bytes) -> tuple[bytes, int]:
    """Let pydantic decide on a body that the fast decoder refused."""
    value = _json(body)
    if not isinstance(value, list):
        raise Refused(422, "invalid-input", "The body must be a JSON array of inputs; wrap a single one in [ ].")
    _check_count(spec, len(value))  # before every one of them is validated
    return _validated(spec, body, depth=0)


def _validated(spec: Spec, body: bytes, *, depth: int) -> tuple[bytes, int]:
    """Validate with pydantic; `depth` is how many parts of a fault's location are not the client's."""
    validator = wire.validator(spec)
    try:
        rows = validator.validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        faults = [{"detail": e["msg"], "pointer": pointer(e["loc"][depth:])} for e in found[:MAX_FAULTS]]
        more = f" The first {MAX_FAULTS} are listed." if len(found) > MAX_FAULTS else ""
        detail = f"{len(found)} fault{'s'[: len(found) > 1]} in the input; nothing was stored.{more}"
        raise Refused(422, "invalid-input", detail, errors=faults) from None
    return validator.dump_json(rows), len(rows)


def _json(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError as error:
        raise Refused(422, "invalid-json", f"The body is not valid JSON: {error}.") from None


def _check_count(spec: Spec, n_inputs: int) -> None:
    if n_inputs > spec.max_inputs:
        detail = f"{n_inputs} inputs are more than {spec.max_inputs}; send them in several submissions."
        raise Refused(422, "too-many-inputs", detail)
