"""The worker processes: what each has loaded, whether it works, and since when."""

from functools import partial

from starlette.responses import Response

from console import live
from console.live import Part
from console.page import Answer, Visit
from handler.answer.bodies import Worker
from handler.routes.models import loaded_models
from handler.routes.workers import processes
from handler.services import Services


async def workers(visit: Visit) -> Response:
    """List the worker processes."""
    return visit.render("workers.html", here="workers", part=(await _part(visit)).html)


async def live_workers(visit: Visit) -> Response:
    """Keep the list up to date."""
    return await live.respond(visit, lambda: _part(visit))


async def _part(visit: Visit) -> Part:
    found, unloaded = await visit.console.shared.get("workers", partial(_look, visit.services))
    return Part(visit.html("workers_part.html", workers=found, unloaded=unloaded))


async def _look(services: Services) -> tuple[list[Worker], dict[str, str]]:
    return await processes(services), (await loaded_models(services)).unloaded


PAGES: list[tuple[str, Answer]] = [("/console/workers", workers), ("/console/live/workers", live_workers)]
