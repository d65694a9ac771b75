"""The Open Inference Protocol, version 2, as KServe and Triton speak it over HTTP: every model, through the queue."""

from collections.abc import Mapping

from starlette.responses import Response

from handler import VERSION
from handler.answer import outcome
from handler.answer.outcome import require_success
from handler.auth.caller import EVERY_ROLE
from handler.http import body
from handler.http.body import model_response
from handler.http.operation import Operation, success
from handler.http.problem_responses import PROTOCOL
from handler.http.request import ApiRequest
from handler.models import KnownModel, answered_fields
from handler.problems import NOT_READY, ProblemKind, RequestRefused
from handler.protocol import bodies, codec, tensors
from handler.protocol.bodies import (
    EXTENSIONS,
    NAME,
    IndexedModel,
    IndexRequest,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from handler.routes.health import readiness
from handler.routes.models import loaded_models
from handler.services import Services
from handler.submit import submission, validation
from handler.submit.submission import accept_and_wait, requested_options
from serving.contract import Column, Spec


async def server(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Say what this server is, and which extensions of the protocol it has."""
    return model_response(ServerMetadata(name=NAME, version=VERSION, extensions=EXTENSIONS))


async def live(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Liveness probe: this process answers."""
    return model_response(ServerLive(live=True))


async def ready(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Readiness probe: whether the handler accepts requests."""
    accepts = (await readiness(services)).ready
    return model_response(ServerReady(ready=accepts), 200 if accepts else NOT_READY)


async def model_ready(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Say whether a living worker process has the model loaded."""
    spec = _chosen(request, services).spec
    if not (await loaded_models(services)).processes[spec.name]:
        detail = f"No worker has {spec.name} loaded; submissions are accepted, and wait for one."
        raise RequestRefused(ProblemKind.MODEL_NOT_LOADED, detail)
    return model_response(ModelReady(name=spec.name, ready=True))


async def metadata(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Return what a model takes and gives, as tensors."""
    model = _chosen(request, services)
    spec = model.spec
    return model_response(
        ModelMetadata(
            name=spec.name,
            versions=[model.version.version],
            platform=NAME,
            inputs=[_described(_in_public(spec, column)) for column in spec.input_columns],
            outputs=[_described(column) for column in _answered(spec).values()],
        )
    )


async def index(request: ApiRequest, services: Services, client: str | None) -> Response:
    """List the models, and whether a worker has each loaded."""
    asked = codec.parse_as(IndexRequest, await services.bodies.read(request) or b"{}")
    processes = (await loaded_models(services)).processes
    models = [
        IndexedModel(
            name=model.name,
            version=model.version.version,
            state="READY" if processes[model.name] else "UNAVAILABLE",
            reason="" if processes[model.name] else "no worker has it loaded",
        )
        for model in services.models.live.values()
    ]
    return model_response([model for model in models if model.state == "READY" or not asked.ready])


async def infer(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Score tensors: they are stored and queued as every submission is, and the answer waits for the scores."""
    model = _chosen(request, services)
    spec = model.spec
    options = requested_options(request, services)
    asked, raw = await codec.read_request(request, services.bodies)
    answered = _answered(spec)
    codec.check_outputs(asked, answered)
    values = codec.rows(spec, asked, raw)
    inputs = validation.validate(spec, model.manifest, values, codec.locate)
    wait = services.settings.answer_wait_seconds
    _, task = await accept_and_wait(services, client, model, options, inputs, wait, codec.locate)
    require_success(task, wait)
    return codec.respond(spec, asked, task, answered)


def operations(specs: Mapping[str, Spec]) -> list[Operation]:
    model = f"{PROTOCOL}/models/{{model}}"
    metadata_of = success(ServerMetadata, "What this server is")
    is_live, listed = success(ServerLive, "The process is up"), success(list[IndexedModel], "Every served model")
    is_ready = success(ServerReady, "The handler accepts requests")
    is_ready |= success(ServerReady, "The handler accepts no requests", NOT_READY)
    return [
        *_of_a_model(specs, model, ""),
        *_of_a_model(specs, f"{model}/versions/{{version}}", "_version"),
        Operation("GET", PROTOCOL, server, _TAG, "v2_server", responses=metadata_of, roles=EVERY_ROLE),
        Operation("GET", f"{PROTOCOL}/health/live", live, _TAG, "v2_live", responses=is_live, public=True),
        Operation("GET", f"{PROTOCOL}/health/ready", ready, _TAG, "v2_ready", responses=is_ready, public=True),
        Operation(
            "POST",
            f"{PROTOCOL}/repository/index",
            index,
            _TAG,
            "v2_index",
            responses=listed,
            problems=(*body.PROBLEMS, *codec.PROBLEMS),
            request=bodies.index_takes(),
            roles=EVERY_ROLE,
        ),
    ]


_TAG = "open inference protocol"


def _of_a_model(specs: Mapping[str, Spec], path: str, ending: str) -> list[Operation]:
    unknown = (ProblemKind.UNKNOWN_MODEL, ProblemKind.UNKNOWN_VERSION, ProblemKind.NO_LIVE_VERSION)
    tensors_of, loaded = success(ModelMetadata, "The model's tensors"), success(ModelReady, "A worker has it loaded")
    outputs = "The outputs as tensors, in JSON or with binary data behind it"
    return [
        Operation(
            "POST",
            f"{path}/infer",
            infer,
            _TAG,
            f"v2_infer{ending}",
            responses={200: {"content": bodies.ANSWERED, "description": outputs}},
            problems=(*unknown, *submission.PROBLEMS, *outcome.PROBLEMS),
            request=bodies.infer_takes(specs),
        ),
        Operation(
            *("GET", path, metadata, _TAG, f"v2_model{ending}"),
            responses=tensors_of,
            problems=unknown,
            roles=EVERY_ROLE,
        ),
        Operation(
            "GET",
            f"{path}/ready",
            model_ready,
            _TAG,
            f"v2_model{ending}_ready",
            responses=loaded,
            problems=(*unknown, ProblemKind.MODEL_NOT_LOADED),
            roles=EVERY_ROLE,
        ),
    ]


def _chosen(request: ApiRequest, services: Services) -> KnownModel:
    """Return the model that the path names. Raises RequestRefused."""
    model, version = services.models.get(request.path_params["model"]), request.path_params.get("version")
    if version not in (None, live := model.version.version):
        detail = f"Model {model.name} has no version {version!r}; the handler serves {live}."
        raise RequestRefused(ProblemKind.UNKNOWN_VERSION, detail)
    return model


def _answered(spec: Spec) -> dict[str, Column]:
    columns = {column.name: _in_public(spec, column) for column in [*spec.output_columns, *spec.input_columns]}
    return {columns[name].name: columns[name] for name in answered_fields(spec)}


def _in_public(spec: Spec, column: Column) -> Column:
    return column._replace(name=spec.public_names[column.name])


def _described(column: Column) -> TensorMetadata:
    return TensorMetadata(name=column.name, datatype=tensors.datatype(column), shape=tensors.shape(column))
