"""Turns a request body into a payload to store, or says everything that is wrong with it."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from itertools import islice
from typing import Any

import msgspec
from fastapi import Request
from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

from handler.problems import MAX_FAULTS, Refused, pointer
from models import wire
from models.contract import Spec


async def read_batch(request: Request, spec: Spec, max_bytes: int) -> tuple[bytes, int]:
    """Read a JSON array of inputs; return the payload and how many inputs it has. Raises Refused."""
    body = await _read(request, max_bytes)
    try:
        n_inputs = len(wire.decoder(spec).decode(body))
    except ValueError:
        body, n_inputs = _decide(spec, body)
    if n_inputs == 0:
        raise Refused(422, "invalid-input", "The array is empty; send at least one input.")
    _check_count(spec, n_inputs)
    return body, n_inputs


async def read_one(request: Request, spec: Spec, max_bytes: int) -> tuple[bytes, int]:
    """Read one JSON object as a payload with one input. Raises Refused."""
    body = await _read(request, max_bytes)
    try:
        msgspec.json.decode(body, type=wire.row(spec))
    except ValueError:
        value = _json(body)
        if not isinstance(value, dict):
            raise Refused(422, "invalid-input", "The body must be one JSON object; batches go to /submit.") from None
        return _validated(spec, [value], depth=1)
    return b"[" + body + b"]", 1


async def _read(request: Request, max_bytes: int) -> bytes:
    """Return the body. Nobody is let off the content type: a browser can send anything else across sites unasked."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        stated = f"not {content_type!r}" if content_type else "but the header is missing"
        raise Refused(415, "wrong-content-type", f"Content-Type must be application/json, {stated}.")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise Refused(415, "wrong-content-encoding", f"Content-Encoding {coding!r} is not read here; send plain JSON.")
    chunks = []
    size = int(request.headers.get("content-length", 0))
    if size <= max_bytes:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                break
            chunks.append(chunk)
    if size > max_bytes:
        raise Refused(413, "body-too-large", f"The body is over {max_bytes} bytes; send several smaller batches.")
    return b"".join(chunks)


def _decide(spec: Spec, body: bytes) -> tuple[bytes, int]:
    """Let pydantic decide on a body that the fast decoder refused."""
    value = _json(body)
    if not isinstance(value, list):
        raise Refused(422, "invalid-input", "The body must be a JSON array of inputs; wrap a single one in [ ].")
    _check_count(spec, len(value))  # before every one of them is validated
    return _validated(spec, value, depth=0)


def _validated(spec: Spec, values: list[Any], *, depth: int) -> tuple[bytes, int]:
    """Validate with pydantic; `depth` is how many parts of a fault's location are not the client's.

    Stops soon after MAX_FAULTS: a body of a few MB can hold a million, which pydantic lists for seconds.
    """
    rows: list[Any] = []
    faults: list[dict[str, str]] = []
    for position, value in enumerate(values):
        try:
            one = to_json(_trimmed(spec, value), inf_nan_mode="constants")
            rows.append(spec.input.model_validate_json(one))
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            faults += [{"detail": _detail(spec, e), "pointer": pointer((position, *e["loc"])[depth:])} for e in found]
            if len(faults) > MAX_FAULTS:
                break
    if faults:
        count = f"{len(faults)} fault{'s'[: len(faults) > 1]}"
        if len(faults) > MAX_FAULTS:
            count = f"More than {MAX_FAULTS} faults, of which the first {MAX_FAULTS} are listed,"
        detail = f"{count} in the input; nothing was stored."
        raise Refused(422, "invalid-input", detail, errors=faults[:MAX_FAULTS])
    return wire.validator(spec).dump_json(rows), len(rows)


def _trimmed(spec: Spec, value: Any) -> Any:
    """Drop the unknown fields that are too many to be listed."""
    known = spec.input.model_fields
    if not isinstance(value, dict) or len(value) <= len(known) + MAX_FAULTS:
        return value
    unknown = islice((name for name in value if name not in known), MAX_FAULTS + 1)
    return {name: value[name] for name in [*(known.keys() & value.keys()), *unknown]}


def _detail(spec: Spec, error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return f"Unknown field; the fields are {', '.join(spec.input.model_fields)}"
    return error["msg"]


def _json(body: bytes) -> Any:
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


def _check_count(spec: Spec, n_inputs: int) -> None:
    if n_inputs > spec.max_inputs:
        detail = f"{n_inputs} inputs are more than {spec.max_inputs}; send them in several submissions."
        raise Refused(422, "too-many-inputs", detail)
