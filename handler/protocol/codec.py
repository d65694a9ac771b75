"""Turns a request of the Open Inference Protocol into inputs, and outputs into its response."""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from handler.http.body import JSON, BodyReader, content_type, parse_json, with_integers
from handler.http.request import ApiRequest
from handler.pointer import pointer
from handler.problems import ProblemKind, RequestRefused
from handler.protocol import tensors
from handler.submit.validation import check_count
from serving import wording
from serving.contract import Column, Spec

HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"
SENT_UNASKED = ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded")
"""What a page of another site can make a browser send without asking this server first."""

_SHOWN = 64  # characters of an unknown name
_ELSEWHERE = "shared_memory_region"
_UNKEPT = ("classification", _ELSEWHERE)


class RequestedOutput(Struct):
    """One output that the client requests."""

    name: Annotated[str, Meta(examples=["score"])]
    parameters: dict[str, Any] | None = None


class InferRequest(Struct):
    """Tensors in, of equal first dimension, one for each field of the model's input."""

    inputs: list[tensors.Tensor]
    id: Annotated[str | None, Meta(examples=["42"])] = None
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, Any] | None = None


PROBLEMS = (ProblemKind.INVALID_JSON, ProblemKind.INVALID_INPUT)

_Shape = TypeVar("_Shape", bound=Struct)


async def read_request(request: ApiRequest, bodies: BodyReader) -> tuple[InferRequest, bytes]:
    """Return the request's JSON part and the binary part behind it. Raises RequestRefused."""
    if content_type(request) in SENT_UNASKED or (not content_type(request) and b"origin" in request.index):
        raise RequestRefused(ProblemKind.WRONG_CONTENT_TYPE, f"Content-Type must be {JSON} or {BINARY}.")
    body = await bodies.read(request)
    given = request.header(HEADER_LENGTH.lower().encode()) or str(len(body))
    length = int(given) if re.fullmatch("[0-9]{1,12}", given) else -1
    if not 0 <= length <= len(body):
        raise RequestRefused(
            ProblemKind.INVALID_INPUT, f"{HEADER_LENGTH} is {given[:20]!r}, but the body has {len(body)} bytes."
        )
    return parse_as(InferRequest, body[:length]), body[length:]


def parse_as(shape: type[_Shape], body: bytes) -> _Shape:
    """Parse JSON of a shape. Stops at the first error: a body can have a million. Raises RequestRefused."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (ValueError, RecursionError):
        value = with_integers(parse_json(body))
    if (place := _not_finite(value, ())) is not None:
        detail = f"{pointer(place)}: Must be a finite number; JSON has no NaN and no infinity"
        raise RequestRefused(ProblemKind.INVALID_INPUT, f"{detail}.")
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        steps, fault = wording.structure_error(str(error))
        raise RequestRefused(ProblemKind.INVALID_INPUT, f"{pointer(steps)}: {fault}.") from None


def _not_finite(value: Any, place: tuple[str | int, ...]) -> tuple[str | int, ...] | None:
    """Return the place of the first NaN or infinity in a JSON value."""
    if isinstance(value, float):
        return None if isfinite(value) else place
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = (_not_finite(part, (*place, name)) for name, part in parts)
    return next((one for one in found if one is not None), None)


def rows(spec: Spec, asked: InferRequest, raw: bytes) -> list[dict[str, Any]]:
    """Return the inputs, a mapping for each, with JSON's types. Raises RequestRefused, with the tensor's name."""
    known = {spec.public_names[column.name]: column for column in spec.input_columns}
    found: dict[str, list[Any]] = {}
    place = 0
    for tensor in asked.inputs:
        if tensor.name not in known or tensor.name in found:
            why = "repeated; send it once" if tensor.name in found else f"unknown; the inputs are {', '.join(known)}"
            raise _fault(tensor.name, why)
        part = None
        parameters = tensor.parameters or {}
        if (size := parameters.get("binary_data_size")) is not None:
            if type(size) is not int or not 0 <= size <= len(raw) - place:
                raise _fault(tensor.name, f"binary_data_size is {size!r}, and {len(raw) - place} bytes are left")
            part, place = raw[place : place + size], place + size
        elif parameters.get(_ELSEWHERE) is not None:
            raise _fault(tensor.name, "shared memory is not supported; send the data")
        check_count(spec, max(tensor.shape[:1], default=0))  # before they are unpacked
        try:
            found[tensor.name] = tensors.parse(known[tensor.name], tensor, part)
        except tensors.WrongTensor as wrong:
            raise _fault(tensor.name, str(wrong)) from None
    if place != len(raw):
        raise RequestRefused(
            ProblemKind.INVALID_INPUT,
            f"{len(raw) - place} bytes of binary data belong to no tensor; set each tensor's binary_data_size.",
        )
    for name, column in known.items():
        if spec.input.model_fields[column.name].is_required() and name not in found:
            raise _fault(name, f"missing; send it as {tensors.datatype(column)}")
    if len({len(values) for values in found.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in found.items())
        raise RequestRefused(ProblemKind.INVALID_INPUT, f"The tensors differ in their first dimension: {lengths}.")
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def locate(position: int, place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Locate a place in an input: in which tensor, at which element."""
    return ("inputs", place[0], position, *place[1:]) if place else ("inputs", position)


def _fault(name: str, why: str) -> RequestRefused:
    return RequestRefused(ProblemKind.INVALID_INPUT, f"Input {name[:_SHOWN]!r}: {why}.")


def check_outputs(asked: InferRequest, answered: Mapping[str, Column]) -> None:
    """Raise RequestRefused for outputs that the model does not have, before anything is stored."""
    named = set()
    for output in asked.outputs or ():
        why = None
        unkept = [name for name in _UNKEPT if (output.parameters or {}).get(name) is not None]
        if output.name not in answered:
            why = f"unknown; the outputs are {', '.join(answered)}"
        elif output.name in named:
            why = "requested twice; request it once"
        elif unkept:
            why = f"the parameter {unkept[0]} is not supported; leave it out"
        if why:
            raise RequestRefused(ProblemKind.INVALID_INPUT, f"Output {output.name[:_SHOWN]!r}: {why}.")
        named.add(output.name)


def respond(spec: Spec, asked: InferRequest, task: Mapping[str, Any], answered: Mapping[str, Column]) -> Response:
    """Return the requested outputs in their order, or all that the task has if none was requested."""
    all_binary = (asked.parameters or {}).get("binary_data_output") is True
    written = []
    for output in asked.outputs or [RequestedOutput(name) for name in answered if name in task]:
        values = task.get(output.name, [None] * task["n_inputs"])  # the client's own key, which it left out
        binary = (output.parameters or {}).get("binary_data")
        written.append(
            tensors.build(answered[output.name], values, binary=all_binary if binary is None else binary is True)
        )
    head = {
        "model_name": spec.name,
        "model_version": task["model_version"],
        **({"id": asked.id} if asked.id else {}),
        "parameters": {"task_id": str(task["task_id"])},
        "outputs": [tensor for tensor, _ in written],
    }
    content, raw = msgspec.json.encode(head), b"".join(part for _, part in written)
    if not raw:
        return Response(content, media_type=JSON)
    return Response(content + raw, headers={HEADER_LENGTH: str(len(content))}, media_type=BINARY)
