"""The Open Inference Protocol, version 2, as KServe and Triton speak it over HTTP: every model, through the queue."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from handler import inferring, options, parsing, tensors
from handler.answers import answered_fields
from handler.identity import Client
from handler.inferring import BINARY, InferRequest
from handler.openapi import documented_errors, inlined
from handler.problems import PROTOCOL, Refused
from handler.reading import scored, unknown_model
from handler.receiving import JSON, bounded
from handler.routes.health import readiness
from handler.routes.models import ready_processes
from handler.services import Services, Serving
from handler.submitting import accept_and_read, wishes
from models.contract import Column, Spec

NAME, VERSION = "millrace", "0.1.0"
EXTENSIONS = ["binary_tensor_data", "model_repository"]

open_router = APIRouter(prefix=PROTOCOL, tags=["open inference protocol"])
router = APIRouter(prefix=PROTOCOL, tags=["open inference protocol"])


class Server(BaseModel):
    name: str = Field(examples=[NAME])
    version: str = Field(examples=[VERSION])
    extensions: list[str] = Field(examples=[EXTENSIONS])


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

    ready: bool = False


@router.get("", response_description="What this server is", responses=documented_errors())
async def server() -> Server:
    """Say what this server is, and which extensions of the protocol it has."""
    return Server(name=NAME, version=VERSION, extensions=EXTENSIONS)


@open_router.get("/health/live", response_class=Response, response_description="It lives")
async def live() -> Response:
    """Say that this process answers."""
    return Response()


@open_router.get(
    "/health/ready",
    response_class=Response,
    response_description="Requests are taken in",
    responses={503: {"description": "They are not"}},
)
async def ready(services: Serving) -> Response:
    """Say whether requests are taken in."""
    return Response(status_code=200 if (await readiness(services)).ready else 503)


@router.get(
    "/models/{model}/ready",
    response_class=Response,
    response_description="A worker has it loaded",
    responses=documented_errors(404, 503),
)
@router.get(
    "/models/{model}/versions/{version}/ready",
    response_class=Response,
    response_description="A worker has it loaded",
    responses=documented_errors(404, 503),
)
async def model_ready(services: Serving, model: str, version: str | None = None) -> Response:
    """Say whether a living worker process has the model loaded."""
    spec = _spec(services, model, version)
    if not (await ready_processes(services))[spec.name]:
        raise Refused(503, "model-not-loaded", f"No worker has {model} loaded; what is submitted waits for one.")
    return Response()


@router.get("/models/{model}", response_description="The model's tensors", responses=documented_errors(404, 503))
@router.get(
    "/models/{model}/versions/{version}",
    response_description="The model's tensors",
    responses=documented_errors(404, 503),
)
async def metadata(services: Serving, model: str, version: str | None = None) -> ModelMetadata:
    """Return what a model takes and gives, as tensors."""
    spec = _spec(services, model, version)
    return ModelMetadata(
        name=spec.name,
        versions=[_version(services, spec)],
        platform=NAME,
        inputs=[_described(column) for column in spec.input_columns],
        outputs=[_described(column) for column in _answered(spec).values()],
    )


@router.post(
    "/repository/index",
    response_description="Every served model",
    responses=documented_errors(408, 413, 422, 503),
    openapi_extra={"requestBody": {"content": {JSON: {"schema": inlined(msgspec.json.schema(IndexRequest))}}}},
)
async def index(request: Request, services: Serving) -> list[IndexedModel]:
    """List the models, and whether a worker has each loaded."""
    asked = inferring.decoded(await bounded(request, services.settings.max_body_bytes) or b"{}", IndexRequest)
    processes = await ready_processes(services)
    models = [
        IndexedModel(
            name=spec.name,
            version=_version(services, spec),
            state="READY" if processes[spec.name] else "UNAVAILABLE",
            reason="" if processes[spec.name] else "no worker has it loaded",
        )
        for spec in services.specs.values()
    ]
    return [model for model in models if model.state == "READY" or not asked.ready]


_INFER: dict[str, Any] = {
    "methods": ["POST"],
    "response_class": Response,
    "response_description": "The outputs as tensors, in JSON or with binary data behind it",
    "responses": {
        200: {
            "content": {
                JSON: {"example": {"model_name": "report_scorer", "model_version": "1.0.0", "outputs": []}},
                BINARY: {"schema": {"type": "string", "format": "binary"}, "example": ""},
            }
        },
        **documented_errors(404, 408, 409, 413, 415, 422, 500, 503, 504),
    },
    "openapi_extra": {
        "parameters": options.parameters(),
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": inlined(msgspec.json.schema(InferRequest))},
                BINARY: {"schema": {"type": "string", "format": "binary"}},
            },
        },
    },
}


async def infer(
    request: Request, services: Serving, client: Client, model: str, version: str | None = None
) -> Response:
    """Score tensors: they are stored and queued as every submission is, and the answer waits for the scores."""
    spec = _spec(services, model, version)
    wanted = wishes(request, services)
    asked, raw = await inferring.read(request, services.settings.max_body_bytes)
    answered = _answered(spec)
    inferring.check_outputs(asked, answered)
    inputs = inferring.rows(spec, asked, raw)
    taken = parsing.taken(spec, services.manifests[spec.name], inputs, inferring.locate)
    wait = services.settings.answer_wait_seconds
    _, task = await accept_and_read(services, client, spec, wanted, taken, wait)
    return inferring.respond(spec, asked, scored(task, wait), answered)


router.add_api_route("/models/{model}/infer", infer, **_INFER)
router.add_api_route("/models/{model}/versions/{version}/infer", infer, **_INFER)


def _spec(services: Services, model: str, version: str | None) -> Spec:
    if model not in services.specs:
        raise unknown_model(model, services)
    spec = services.specs[model]
    current = _version(services, spec)
    if version not in (None, current):
        raise Refused(404, "unknown-version", f"Model {model} has no version {version!r} here; there is: {current}.")
    return spec


def _version(services: Services, spec: Spec) -> str:
    return str(services.manifests[spec.name]["version"])


def _answered(spec: Spec) -> dict[str, Column]:
    columns = {column.name: column for column in [*spec.output_columns, *spec.input_columns]}
    return {name: columns[name] for name in answered_fields(spec)}


def _described(column: Column) -> TensorMetadata:
    return TensorMetadata(name=column.name, datatype=tensors.datatype(column), shape=tensors.shape(column))
