"""What is served, and how well."""

from collections import Counter

from starlette.responses import Response

from handler.answer.bodies import ModelCard, ServedModel
from handler.auth.caller import EVERY_ROLE
from handler.http.body import model_response
from handler.http.operation import Operation, success
from handler.http.request import ApiRequest
from handler.models import KnownModel
from handler.problems import ProblemKind
from handler.services import Services
from store import workers


async def list_models(request: ApiRequest, services: Services, client: str | None) -> Response:
    """List the served models."""
    processes = await ready_processes(services)
    return model_response([_served(model, processes[model.name]) for model in services.models.live.values()])


async def read_model(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Return a model's schemas, version and evaluation."""
    model = services.models.get(request.path_params["model"])
    spec = model.spec
    processes = await ready_processes(services)
    return model_response(
        ModelCard(
            **_served(model, processes[model.name]).model_dump(),
            max_inputs=spec.max_inputs,
            input=spec.input.model_json_schema(),
            output=spec.output.model_json_schema(),
            evaluation=dict(model.version.evaluation),
        )
    )


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


async def ready_processes(services: Services) -> Counter[str]:
    """Return how many living worker processes have each model loaded."""
    async with services.vital.connect() as connection:
        rows = await workers.ready(connection)
    count: Counter[str] = Counter()
    for row in rows:
        count[row.model] += row.processes
    return count


def _served(model: KnownModel, processes: int) -> ServedModel:
    return ServedModel(
        name=model.name,
        title=model.spec.title,
        version=model.version.version,
        submit=f"/models/{model.name}/submit",
        processes=processes,
    )
