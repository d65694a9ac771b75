"""The bodies of the Open Inference Protocol, as the OpenAPI document describes them, with an example for each model."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from pydantic import BaseModel, Field

from handler import VERSION
from handler.http.body import JSON
from handler.http.json_schema import inlined
from handler.http.openapi_problems import EXAMPLE_ID
from handler.protocol import tensors
from handler.protocol.codec import BINARY, InferRequest
from handler.submit.options import option_parameters
from serving.contract import Spec

NAME = "millrace"
EXTENSIONS = ["binary_tensor_data", "model_repository"]


class ServerMetadata(BaseModel):
    name: str = Field(examples=[NAME])
    version: str = Field(examples=[VERSION])
    extensions: list[str] = Field(examples=[EXTENSIONS])


class ServerLive(BaseModel):
    live: bool = Field(examples=[True])


class ServerReady(BaseModel):
    ready: bool = Field(examples=[True])


class ModelReady(ServerReady):
    name: str = Field(examples=["report_scorer"])


class TensorMetadata(BaseModel):
    name: str = Field(examples=["score"])
    datatype: str = Field(examples=["FP64"])
    shape: list[int] = Field(examples=[[-1]])


class ModelMetadata(BaseModel):
    name: str = Field(examples=["report_scorer"])
    versions: list[str] = Field(examples=[["1.0.0"]])
    platform: str = Field(examples=[NAME])
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexedModel(BaseModel):
    name: str = Field(examples=["report_scorer"])
    version: str = Field(examples=["1.0.0"])
    state: str = Field(examples=["READY"])
    reason: str = Field(examples=[""])


class IndexRequest(msgspec.Struct):
    """Which models to list: all, or only those that are loaded."""

    ready: bool | None = None


class OutputParameters(BaseModel):
    binary_data_size: int = Field(description="Bytes of this tensor behind the JSON", examples=[8])


class OutputTensor(TensorMetadata):
    """One field of all the outputs. Its data follow the JSON if it has a `binary_data_size`."""

    shape: list[int] = Field(examples=[[1]])
    data: list[Any] = Field([], examples=[[0.93]])
    parameters: OutputParameters | None = None


class InferParameters(BaseModel):
    task_id: UUID = Field(examples=[EXAMPLE_ID])


class InferResponse(BaseModel):
    """The outputs as tensors, of the same first dimension as the inputs."""

    model_name: str = Field(examples=["report_scorer"])
    model_version: str = Field(examples=["1.0.0"])
    id: str | None = Field(None, description="The request's, where it has one", examples=["42"])
    parameters: InferParameters
    outputs: list[OutputTensor]


_BINARY = {"schema": {"type": "string", "format": "binary"}, "example": ""}
ANSWERED = {JSON: {"schema": inlined(InferResponse.model_json_schema())}, BINARY: _BINARY}


def infer_takes(specs: Mapping[str, Spec]) -> dict[str, Any]:
    """Describe the request of an infer. Its example for each model is valid at that model's path."""
    examples = {name: {"summary": spec.title, "value": _example(spec)} for name, spec in specs.items()}
    content = {JSON: {"schema": inlined(msgspec.json.schema(InferRequest)), "examples": examples}, BINARY: _BINARY}
    return {"parameters": option_parameters(), "requestBody": {"required": True, "content": content}}


def index_takes() -> dict[str, Any]:
    content = {JSON: {"schema": inlined(msgspec.json.schema(IndexRequest)), "example": {"ready": True}}}
    return {"requestBody": {"content": content}}


def _example(spec: Spec) -> dict[str, Any]:
    columns = {spec.public_names[column.name]: column for column in spec.input_columns}
    inputs = [
        {"name": name, "datatype": tensors.datatype(columns[name]), "shape": [1], "data": [value]}
        for name, value in spec.example.items()
    ]
    return {"id": "42", "inputs": inputs}
