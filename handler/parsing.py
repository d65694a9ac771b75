"""Turns a request body into a payload to store, or says everything that is wrong with it."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from fastapi import Request
from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json

from handler.problems import MAX_FAULTS, Refused, pointer
from handler.receiving import JSON, json_value, receive
from models import wire
from models.contract import Manifest, Spec

Locate = Callable[[int, tuple[str | int, ...]], tuple[str | int, ...]]
"""Where in the body the client finds a place in the input at a position."""


class Taken(NamedTuple):
    """What a body comes to: the payload to be stored, and how many inputs it has."""

    payload: bytes
    n_inputs: int


async def read_batch(request: Request, spec: Spec, manifest: Manifest, max_bytes: int) -> Taken:
    """Read a JSON array of inputs. Raises Refused."""
    body = await receive(request, max_bytes, JSON)
    try:
        rows = wire.decoder(spec).decode(body)
    except ValueError:  # let pydantic decide on what the fast decoder refused
        value = json_value(body)
        if not isinstance(value, list):
            detail = "The body must be a JSON array of inputs; wrap a single one in [ ]."
            raise Refused(422, "invalid-input", detail) from None
        return validated(spec, manifest, value, _in_array)
    if not rows:
        raise Refused(422, "invalid-input", "The array is empty; send at least one input.")
    check_count(spec, len(rows))
    _check(spec, manifest, rows, _in_array)
    return Taken(wire.pack(spec, rows, body), len(rows))


async def read_one(request: Request, spec: Spec, manifest: Manifest, max_bytes: int) -> Taken:
    """Read one JSON object as a payload with one input. Raises Refused."""
    body = await receive(request, max_bytes, JSON)
    try:
        row = msgspec.json.decode(body, type=wire.row(spec))
    except ValueError:
        value = json_value(body)
        if not isinstance(value, dict):
            raise Refused(422, "invalid-input", "The body must be one JSON object; batches go to /submit.") from None
        return validated(spec, manifest, [value], _alone)
    _check(spec, manifest, [row], _alone)
    return Taken(b"[" + body + b"]", 1)


def _in_array(position: int, place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return position, *place


def _alone(position: int, place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return place


def taken(spec: Spec, manifest: Manifest, values: Sequence[Any], locate: Locate) -> Taken:
    """Validate inputs that came in another shape: fast, or by pydantic, who says what is wrong. Raises Refused."""
    check_count(spec, len(values))
    try:
        payload = to_json(values, inf_nan_mode="constants")  # which the fast decoder refuses
        rows = wire.decoder(spec).decode(payload)
    except ValueError:
        rows = []
    if not rows:
        return validated(spec, manifest, values, locate)
    _check(spec, manifest, rows, locate)
    return Taken(wire.pack(spec, rows, payload), len(rows))


def validated(spec: Spec, manifest: Manifest, values: Sequence[Any], locate: Locate) -> Taken:
    """Validate inputs with pydantic. Raises Refused.

    Stops soon after MAX_FAULTS: a body of a few MB can hold a million, which pydantic lists for seconds.
    """
    if not values:
        raise Refused(422, "invalid-input", "There is no input; send at least one.")
    check_count(spec, len(values))  # before every one of them is validated
    rows: list[Any] = []
    faults: list[dict[str, str]] = []
    for position, value in enumerate(values):
        try:
            one = to_json(_trimmed(spec, value), inf_nan_mode="constants")
            rows.append(spec.input.model_validate_json(one))
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            faults += [{"detail": _detail(spec, e), "pointer": pointer(locate(position, e["loc"]))} for e in found]
            if len(faults) > MAX_FAULTS:
                break
    refuse(faults)
    _check(spec, manifest, rows, locate)
    return Taken(wire.pack(spec, rows, wire.validator(spec).dump_json(rows)), len(rows))


def _check(spec: Spec, manifest: Manifest, rows: Sequence[Any], locate: Locate) -> None:
    """Have the model itself look at what its schema lets in."""
    if spec.check is not None:
        found = islice(spec.check(wire.columns(spec, rows), manifest), MAX_FAULTS + 1)
        faults = [{"detail": f.detail, "pointer": pointer(locate(f.position, (f.field,)))} for f in found]
        refuse(list({fault["pointer"]: fault for fault in faults}.values()))  # a language is said once for all records


def refuse(faults: Sequence[dict[str, str]]) -> None:
    """Raise Refused with the first faults, if there are any."""
    if not faults:
        return
    count = f"{len(faults)} fault{'s'[: len(faults) > 1]}"
    if len(faults) > MAX_FAULTS:
        count = f"More than {MAX_FAULTS} faults, of which the first {MAX_FAULTS} are listed,"
    detail = f"{count} in the input; nothing was stored."
    raise Refused(422, "invalid-input", detail, errors=faults[:MAX_FAULTS])


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


def check_count(spec: Spec, n_inputs: int) -> None:
    """Raise Refused for more inputs than one submission may have."""
    if n_inputs > spec.max_inputs:
        detail = f"{n_inputs} inputs are more than {spec.max_inputs}; send them in several submissions."
        raise Refused(422, "too-many-inputs", detail)
