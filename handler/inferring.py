"""Reads a request of the Open Inference Protocol into inputs, and writes its response."""

import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handler import tensors
from handler.problems import Refused, pointer
from handler.receiving import JSON, bounded, content_encoding, content_type, json_value
from models.contract import Column, Columns, Spec

HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"
SENT_UNASKED = ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded")
"""What a page of another site can have a browser send without asking us first."""

_WINDOW = {"gzip": 31, "deflate": 15}  # zlib's window bits, with which it reads either


class _Tensor(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str = Field(examples=["popularity"])
    datatype: str = Field(examples=["INT32"])
    shape: list[int] = Field(examples=[[1]])
    data: list[Any] | None = Field(None, examples=[[3]])
    parameters: dict[str, Any] = {}


class _Wanted(BaseModel):
    name: str = Field(examples=["score"])
    parameters: dict[str, Any] = {}


class InferRequest(BaseModel):
    """Tensors in, of equal first dimension, one for each field of the model's input."""

    id: str = Field("", examples=["42"])
    inputs: list[_Tensor]
    outputs: list[_Wanted] = []
    parameters: dict[str, Any] = {}


async def read(request: Request, max_bytes: int) -> tuple[InferRequest, bytes]:
    """Return the request's JSON part and the binary part behind it. Raises Refused."""
    if content_type(request) in SENT_UNASKED or (not content_type(request) and "origin" in request.headers):
        raise Refused(415, "wrong-content-type", f"Content-Type must be {JSON} or {BINARY}.")
    body = await bounded(request, max_bytes)
    if (coding := content_encoding(request)) != "identity":
        body = _unpacked(body, coding, max_bytes)
    length = request.headers.get(HEADER_LENGTH, str(len(body)))
    if not (length.isascii() and length.isdigit()) or int(length) > len(body):
        raise Refused(422, "invalid-input", f"{HEADER_LENGTH} is {length!r}, of a body of {len(body)} bytes.")
    head, rest = body[: int(length)], body[int(length) :]
    try:
        return InferRequest.model_validate(json_value(head)), rest
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        faults = [{"detail": e["msg"], "pointer": pointer(e["loc"])} for e in found]
        raise Refused(422, "invalid-input", "This is no inference request.", errors=faults) from None


def _unpacked(body: bytes, coding: str, max_bytes: int) -> bytes:
    if coding not in _WINDOW:
        raise Refused(
            415, "wrong-content-encoding", f"Content-Encoding {coding!r} is not read here; gzip and deflate are."
        )
    unpacker = zlib.decompressobj(_WINDOW[coding])
    try:
        plain = unpacker.decompress(body, max_bytes)
    except zlib.error as error:
        raise Refused(422, "invalid-input", f"The body is not {coding}: {error}.") from None
    if unpacker.unconsumed_tail:
        raise Refused(413, "body-too-large", f"Unpacked, the body is over {max_bytes} bytes; send smaller batches.")
    return plain


def rows(spec: Spec, asked: InferRequest, raw: bytes) -> list[dict[str, Any]]:
    """Return the inputs, one mapping each, in JSON's terms. Raises Refused, with the tensor's name."""
    known = {column.name: column for column in spec.input_columns}
    found: dict[str, list[Any]] = {}
    place = 0
    for tensor in asked.inputs:
        size = tensor.parameters.get("binary_data_size")
        part = None
        if size is not None:
            if not isinstance(size, int) or not 0 <= size <= len(raw) - place:
                raise _fault(tensor.name, f"binary_data_size is {size!r}, and {len(raw) - place} bytes are left")
            part, place = raw[place : place + size], place + size
        if tensor.name not in known or tensor.name in found:
            why = "given twice" if tensor.name in found else f"unknown; the inputs are {', '.join(known)}"
            raise _fault(tensor.name, why)
        try:
            found[tensor.name] = tensors.read(known[tensor.name], tensor.model_dump(), part)
        except tensors.WrongTensor as wrong:
            raise _fault(tensor.name, str(wrong)) from None
    if place != len(raw):
        raise Refused(422, "invalid-input", f"{len(raw) - place} bytes of binary data belong to no tensor.")
    if len({len(values) for values in found.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in found.items())
        raise Refused(422, "invalid-input", f"The tensors differ in their first dimension: {lengths}.")
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def locate(position: int, place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Say where a fault of an input is: in which tensor, at which element."""
    return ("inputs", place[0], position, *place[1:]) if place else ("inputs", position)


def _fault(name: str, why: str) -> Refused:
    return Refused(422, "invalid-input", f"Input {name!r}: {why}.")


def respond(
    spec: Spec, version: str, asked: InferRequest, columns: Columns, task_id: Any, answered: Mapping[str, Column]
) -> Response:
    """Write the outputs that were asked for, in their order; all of them, when none was named. Raises Refused."""
    all_binary = asked.parameters.get("binary_data_output") is True
    wanted = [output for output in asked.outputs if output.name in columns] or [_Wanted(name=name) for name in columns]
    written = []
    for output in wanted:
        binary = output.parameters.get("binary_data", all_binary) is True
        written.append(tensors.write(answered[output.name], list(columns[output.name]), binary=binary))
    head = {
        "model_name": spec.name,
        "model_version": version,
        **({"id": asked.id} if asked.id else {}),
        "parameters": {"task_id": str(task_id)},
        "outputs": [tensor for tensor, _ in written],
    }
    content, raw = msgspec.json.encode(head), b"".join(part for _, part in written)
    if not raw:
        return Response(content, media_type=JSON)
    return Response(content + raw, headers={HEADER_LENGTH: str(len(content))}, media_type=BINARY)


def check_outputs(asked: InferRequest, answered: Mapping[str, Column]) -> None:
    """Raise Refused for an output that the model does not have, before anything is stored."""
    for output in asked.outputs:
        if output.name not in answered:
            detail = f"Output {output.name!r}: unknown; the outputs are {', '.join(answered)}."
            raise Refused(422, "invalid-input", detail)
