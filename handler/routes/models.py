"""What is served, and how well."""

from collections import Counter
from typing import NamedTuple

import msgspec
from starlette.responses import Response

from handler.answer.bodies import ModelCard, ServedModel
from handler.auth.caller import EVERY_ROLE
from handler.http.body import model_response
from handler.http.operation import Operation, success
from handler.http.request import ApiRequest
from handler.models import KnownModel
from handler.problems import ProblemKind
from handler.services import Services
from serving.artifact import CODE
from store import workers


async def list_models(request: ApiRequest, services: Services, client: str | None) -> Response:
    """List the served models."""
    loaded = await loaded_models(services)
    return model_response([served(model, loaded) for model in services.models.live.values()])


async def read_model(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Return a model's schemas, version and evaluation."""
    model = services.models.get(request.path_params["model"])
    return model_response(card(model, await loaded_models(services)))


OPERATIONS = [
    Operation(
        *("GET", "/models", list_models, "models"),
        responses=success(list[ServedModel], "Every served model"),
        roles=EVERY_ROLE,
    ),
    Operation(
        "GET",
        "/models/{model}",
        read_model,
        "models",
        responses=success(ModelCard, "The model's card"),
        problems=(ProblemKind.UNKNOWN_MODEL, ProblemKind.NO_LIVE_VERSION),
        roles=EVERY_ROLE,
    ),
]


class LoadedModels(NamedTuple):
    processes: Counter[str]
    """How many living worker processes have each model loaded."""
    unloaded: dict[str, str]
    """Why, for each live model that none has loaded, and for others that some worker could not load."""


async def loaded_models(services: Services) -> LoadedModels:
    """Return what the workers have loaded."""
    async with services.vital.connect() as connection:
        rows = await workers.ready(connection)
        unloaded = await workers.unloaded(connection)
    processes: Counter[str] = Counter()
    for row in rows:
        processes[row.model] += row.processes
    for name, model in services.models.live.items():
        if not processes[name] and name not in unloaded:
            runtime = model.version.runtime
            needed = f"ALLOW_MODEL_CODE={name}" if runtime == CODE else f"the runtime {runtime}"
            unloaded[name] = f"no worker has loaded it: start one with {needed}"
    return LoadedModels(processes, unloaded)


def card(model: KnownModel, loaded: LoadedModels) -> ModelCard:
    """Return all that a client may know of a model."""
    spec = model.spec
    return ModelCard(
        **served(model, loaded).model_dump(),
        max_inputs=spec.max_inputs,
        key=spec.public_names[spec.key] if spec.key else None,
        input=spec.input.model_json_schema(),
        output=spec.output.model_json_schema(),
        outcomes=msgspec.to_builtins(spec.outcomes),
        evaluation=dict(model.version.evaluation),
    )


def served(model: KnownModel, loaded: LoadedModels) -> ServedModel:
    """Return what is said of a model in the list of all."""
    return ServedModel(
        name=model.name,
        title=model.spec.title,
        version=model.version.version,
        runtime=model.version.runtime,
        submit=f"/models/{model.name}/submit",
        processes=loaded.processes[model.name],
        unloaded=loaded.unloaded.get(model.name),
    )
