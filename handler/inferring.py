"""Reads a request of the Open Inference Protocol into inputs, and writes its response."""

import re
import zlib
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Request, Response
from msgspec import Meta, Struct

from handler import tensors
from handler.parsing import check_count
from handler.problems import Refused
from handler.receiving import JSON, bounded, content_encoding, content_type, json_value
from models.contract import Column, Spec

HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"
SENT_UNASKED = ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded")
"""What a page of another site can have a browser send without asking us first."""

_SHOWN = 64  # characters of a name that we do not know
_ELSEWHERE = "shared_memory_region"
_WINDOW = {"gzip": 31, "deflate": 15}  # zlib's window bits, with which it reads either
_ENDS = {False: "it is cut off", True: "something follows its end"}


class Wanted(Struct):
    """One output that is asked for."""

    name: Annotated[str, Meta(examples=["score"])]
    parameters: dict[str, Any] = {}


class InferRequest(Struct):
    """Tensors in, of equal first dimension, one for each field of the model's input."""

    inputs: list[tensors.Tensor]
    id: Annotated[str, Meta(examples=["42"])] = ""
    outputs: list[Wanted] = []
    parameters: dict[str, Any] = {}


_Shape = TypeVar("_Shape", bound=Struct)


async def read(request: Request, max_bytes: int) -> tuple[InferRequest, bytes]:
    """Return the request's JSON part and the binary part behind it. Raises Refused."""
    if content_type(request) in SENT_UNASKED or (not content_type(request) and "origin" in request.headers):
        raise Refused(415, "wrong-content-type", f"Content-Type must be {JSON} or {BINARY}.")
    body = await bounded(request, max_bytes)
    if (coding := content_encoding(request)) != "identity":
        body = _unpacked(body, coding, max_bytes)
        request.app.state.services.room.take(len(body))
    given = request.headers.get(HEADER_LENGTH, str(len(body)))
    length = int(given) if re.fullmatch("[0-9]{1,12}", given) else -1
    if not 0 <= length <= len(body):
        raise Refused(422, "invalid-input", f"{HEADER_LENGTH} is {given[:20]!r}, of a body of {len(body)} bytes.")
    return decoded(body[:length], InferRequest), body[length:]


def decoded(body: bytes, shape: type[_Shape]) -> _Shape:
    """Read JSON of a shape. It stops at the first fault, for a body of a few MB can hold a million. Raises Refused."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise Refused(422, "invalid-input", f"The request is not as it should be: {error}.") from None
    except (ValueError, RecursionError) as error:
        json_value(body)  # it says better what is wrong, but lets NaN in
        raise Refused(422, "invalid-json", f"The body is not valid JSON: {error}.") from None


def _unpacked(body: bytes, coding: str, max_bytes: int) -> bytes:
    if coding not in _WINDOW:
        raise Refused(
            415, "wrong-content-encoding", f"Content-Encoding {coding!r} is not read here; gzip and deflate are."
        )
    unpacker = zlib.decompressobj(_WINDOW[coding])
    try:
        plain = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise Refused(422, "invalid-input", f"The body is not {coding}: {error}.") from None
    if len(plain) > max_bytes:
        raise Refused(413, "body-too-large", f"Unpacked, the body is over {max_bytes} bytes; send smaller batches.")
    if not unpacker.eof or unpacker.unused_data:
        raise Refused(422, "invalid-input", f"The body is not {coding}: {_ENDS[unpacker.eof]}.")
    return plain


def rows(spec: Spec, asked: InferRequest, raw: bytes) -> list[dict[str, Any]]:
    """Return the inputs, one mapping each, in JSON's terms. Raises Refused, with the tensor's name."""
    known = {column.name: column for column in spec.input_columns}
    found: dict[str, list[Any]] = {}
    place = 0
    for tensor in asked.inputs:
        if tensor.name not in known or tensor.name in found:
            why = "given twice" if tensor.name in found else f"unknown; the inputs are {', '.join(known)}"
            raise _fault(tensor.name, why)
        part = None
        if (size := tensor.parameters.get("binary_data_size")) is not None:
            if type(size) is not int or not 0 <= size <= len(raw) - place:
                raise _fault(tensor.name, f"binary_data_size is {size!r}, and {len(raw) - place} bytes are left")
            part, place = raw[place : place + size], place + size
        elif _ELSEWHERE in tensor.parameters:
            raise _fault(tensor.name, "shared memory is not read here; send the data")
        check_count(spec, max(tensor.shape[:1], default=0))  # before they are unpacked
        try:
            found[tensor.name] = tensors.read(known[tensor.name], tensor, part)
        except tensors.WrongTensor as wrong:
            raise _fault(tensor.name, str(wrong)) from None
    if place != len(raw):
        raise Refused(422, "invalid-input", f"{len(raw) - place} bytes of binary data belong to no tensor.")
    for name, field in spec.input.model_fields.items():
        if field.is_required() and name not in found:
            raise _fault(name, f"missing; send it as {tensors.datatype(known[name])}")
    if len({len(values) for values in found.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in found.items())
        raise Refused(422, "invalid-input", f"The tensors differ in their first dimension: {lengths}.")
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def locate(position: int, place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Say where a fault of an input is: in which tensor, at which element."""
    return ("inputs", place[0], position, *place[1:]) if place else ("inputs", position)


def _fault(name: str, why: str) -> Refused:
    return Refused(422, "invalid-input", f"Input {name[:_SHOWN]!r}: {why}.")


def check_outputs(asked: InferRequest, answered: Mapping[str, Column]) -> None:
    """Raise Refused for outputs that cannot be given, before anything is stored."""
    named = set()
    for output in asked.outputs:
        why = None
        if output.name not in answered:
            why = f"unknown; the outputs are {', '.join(answered)}"
        elif output.name in named:
            why = "asked for twice"
        elif unkept := output.parameters.keys() & {"classification", _ELSEWHERE}:
            why = f"the parameter {min(unkept)} is not served here; leave it out"
        if why:
            raise Refused(422, "invalid-input", f"Output {output.name[:_SHOWN]!r}: {why}.")
        named.add(output.name)


def respond(spec: Spec, asked: InferRequest, task: Mapping[str, Any], answered: Mapping[str, Column]) -> Response:
    """Write the outputs that were asked for, in their order; when none was named, all that the task has."""
    all_binary = asked.parameters.get("binary_data_output") is True
    written = []
    for output in asked.outputs or [Wanted(name) for name in answered if name in task]:
        values = task.get(output.name, [None] * task["n_inputs"])  # the caller's key, and none was given
        binary = output.parameters.get("binary_data", all_binary) is True
        written.append(tensors.write(answered[output.name], values, binary=binary))
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
