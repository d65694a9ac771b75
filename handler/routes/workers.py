"""Who scores: the worker processes, and what each does."""

from itertools import groupby

from fastapi import APIRouter

from handler.answers import LoadedModel, Worker
from handler.openapi import documented
from handler.services import Serving
from store import workers

router = APIRouter(tags=["workers"])


@router.get("/workers", response_description="Every living worker process", responses=documented(503))
@router.get("/workers/status", response_description="Every living worker process", responses=documented(503))
async def list_workers(services: Serving) -> list[Worker]:
    """List the worker processes: what each has loaded, whether it works, and what it has done."""
    async with services.engine.connect() as connection:
        rows = await workers.listing(connection)
    found = []
    for _, grouped in groupby(rows, key=lambda row: row.id):
        loaded = list(grouped)
        busy = next((row for row in loaded if row.working_since is not None), None)
        found.append(
            Worker(
                id=loaded[0].id,
                host=loaded[0].host,
                pid=loaded[0].pid,
                status="working" if busy else "idle",
                model=busy.model if busy else None,
                since=busy.working_since if busy else loaded[0].ready_at,
                tasks_done=sum(row.tasks_done for row in loaded),
                models=[
                    LoadedModel(
                        model=row.model,
                        version=row.model_version,
                        tasks_done=row.tasks_done,
                        inputs_done=row.inputs_done,
                        cache_hits=row.cache_hits,
                    )
                    for row in loaded
                ],
            )
        )
    return found
