"""What is served, and how well."""

from collections import Counter

from fastapi import APIRouter

from handler.answers import ModelCard, ServedModel
from handler.openapi import documented
from handler.reading import unknown_model
from handler.services import Services, Serving
from models import artifact
from models.contract import Spec
from store import workers

router = APIRouter(tags=["models"])


@router.get("/models", response_description="Every served model", responses=documented(503))
async def list_models(services: Serving) -> list[ServedModel]:
    """List the served models."""
    processes = await ready_processes(services)
    return [_served(spec, processes[spec.name]) for spec in services.specs.values()]


@router.get("/models/{model}", response_description="The model's card", responses=documented(404, 503))
async def read_model(model: str, services: Serving) -> ModelCard:
    """Return a model's schemas, version and evaluation."""
    if model not in services.specs:
        raise unknown_model(model, services)
    spec = services.specs[model]
    processes = await ready_processes(services)
    return ModelCard(
        **_served(spec, processes[model]).model_dump(),
        max_inputs=spec.max_inputs,
        input=spec.input.model_json_schema(),
        output=spec.output.model_json_schema(),
        evaluation=artifact.current(model).evaluation,
    )


async def ready_processes(services: Services) -> Counter[str]:
    """Return how many living worker processes have each model loaded."""
    async with services.engine.connect() as connection:
        rows = await workers.ready(connection)
    count: Counter[str] = Counter()
    for row in rows:
        count[row.model] += row.processes
    return count


def _served(spec: Spec, processes: int) -> ServedModel:
    return ServedModel(
        name=spec.name,
        title=spec.title,
        version=artifact.current(spec.name).version,
        submit=f"/models/{spec.name}/submit",
        processes=processes,
    )
