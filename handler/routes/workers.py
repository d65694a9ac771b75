"""The worker processes, and what each does."""

from itertools import groupby

from starlette.responses import Response

from handler.answer.bodies import LoadedModel, Worker
from handler.auth.caller import EVERY_ROLE
from handler.http.body import JsonResponse, model_response
from handler.http.operation import Operation, success
from handler.http.request import ApiRequest
from handler.services import Services
from store import workers


async def list_workers(request: ApiRequest, services: Services, client: str | None) -> Response:
    """List the worker processes: what each has loaded, whether it works, and what it has done."""
    return model_response(await processes(services))


async def processes(services: Services) -> list[Worker]:
    """Return every living worker process."""
    async with services.vital.connect() as connection:
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
                resident_bytes=loaded[0].resident_bytes,
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


async def states(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Return each worker process's state, as clients of the image seed read it (docs/how-to/clients.md)."""
    return JsonResponse({f"{one.host}:{one.pid}": one.status.capitalize() for one in await processes(services)})


async def addresses(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Return each worker process, as clients of the image seed read it: it listens on no port here."""
    return JsonResponse([{"pid": one.pid, "port": 0} for one in await processes(services)])


_LISTED = success(list[Worker], "Every living worker process")

OPERATIONS = [
    Operation("GET", "/workers", list_workers, "workers", responses=_LISTED, roles=EVERY_ROLE),
    Operation(
        "GET", "/workers/status", list_workers, "workers", "list_workers_status", responses=_LISTED, roles=EVERY_ROLE
    ),
    Operation("GET", "/workers/_status", states, roles=EVERY_ROLE),
    Operation("GET", "/workers/_info", addresses, roles=EVERY_ROLE),
]
