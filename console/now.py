"""How the platform is at this moment: the first page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from time import monotonic

from starlette.responses import RedirectResponse, Response

from console import chart, live
from console.live import Part
from console.page import Answer, Console, Visit, page
from console.sampler import PlatformLook
from handler.answer.tasks import masked_error
from handler.auth.caller import SUBMITTERS
from handler.http.operation import AnswerFunction
from handler.http.request import ApiRequest
from handler.services import Services
from store.overview import LatestFailure
from store.states import Priority

FULL = 0.9
"""The share of the backlog's limit from which on an alert says that it is nearly full."""

HEARTBEAT_LATE = 5.0
"""Seconds without a look at the platform, or a sample of the backlog, after which PostgreSQL is said to be away."""


@dataclass(frozen=True)
class ModelLine:
    """A live model in the table."""

    name: str
    version: str
    ready: int
    busy: int
    waiting: Sequence[int]
    """Inputs by priority."""
    oldest: float
    rates: tuple[float, float] | None


def home(console: Console) -> AnswerFunction:
    """Return what answers `/`: the first page to browsers, and the API's documentation to everything else."""
    shown = page(console, now)

    async def root(request: ApiRequest, services: Services, client: str | None) -> Response:
        if "text/html" in (request.header(b"accept") or ""):
            response = await shown(request, services, client)
        else:
            response = RedirectResponse(request.scope.get("root_path", "") + "/docs")
        response.headers["Vary"] = "Accept"
        return response

    return root


async def now(visit: Visit) -> Response:
    """Show throughput, backlog, workers, failures and alerts, or how to begin where no task was ever stored."""
    first = await visit.services.lists.page(visit.caller, limit=1)
    models = list(visit.services.models.live.values())
    part = (await _part(visit)).html
    may_try = visit.caller.role in SUBMITTERS
    return visit.render("now.html", part=part, empty=not first, models=models, may_try=may_try, here="now")


async def live_now(visit: Visit) -> Response:
    """Keep the first page up to date: what it shows is drawn once a tick for all who see the same."""
    sees = ("now", visit.root, visit.caller.masked, visit.caller.confined_to is None)
    return await live.respond(visit, lambda: visit.console.shared.get(sees, partial(_part, visit)))


async def _part(visit: Visit) -> Part:
    look = await visit.console.sampler.look(visit.services)
    lines = list(_lines(visit.services, look))
    sees_all = visit.caller.confined_to is None
    return Part(
        visit.html(
            "now_part.html",
            look=look,
            lines=lines,
            alerts=list(_alerts(visit.services, look, lines)),
            workers=len({row.id for row in look.overview.workers}),
            busy=len({row.id for row in look.overview.workers if row.working_since is not None}),
            plots=[chart.throughput(look.history), chart.backlog(look.history)],
            failures=[_masked(visit, one) for one in look.overview.failures] if sees_all else None,
        )
    )


def _masked(visit: Visit, failure: LatestFailure) -> LatestFailure:
    if not visit.caller.masked:
        return failure
    return LatestFailure(failure.task_id, failure.model, failure.at, masked_error(failure.error))


def _lines(services: Services, look: PlatformLook) -> Iterator[ModelLine]:
    for name, model in services.models.live.items():
        loaded = [row for row in look.overview.workers if row.model == name]
        queues = [look.overview.queues.get((name, priority)) for priority in Priority]
        yield ModelLine(
            name,
            model.version.version,
            len(loaded),
            sum(row.working_since is not None for row in loaded),
            [queue.inputs if queue else 0 for queue in queues],
            max(queue.oldest if queue else 0.0 for queue in queues),
            look.rates.get(name),
        )


def _alerts(services: Services, look: PlatformLook, lines: Sequence[ModelLine]) -> Iterator[str]:
    """Say what a person should look at, the worst first."""
    sampled_at = services.backlog.history[-1].at if services.backlog.history else look.at
    if monotonic() - min(look.at, sampled_at) > HEARTBEAT_LATE:
        seen_at = f"{look.overview.now.astimezone(UTC):%H:%M:%S} UTC"
        yield f"PostgreSQL answers late or not at all: the numbers below are old, the latest of {seen_at}."
    if services.redis is not None and services.redis.fault is not None:
        yield f"Redis: {services.redis.fault}. Submissions are accepted, and wait until it is back."
    for line in lines:
        if not line.ready and any(line.waiting):
            yield f"{line.name}: {sum(line.waiting):,} inputs wait, and no worker has the model loaded."
    for model, host, reason in look.overview.unloaded:
        yield f"{model} could not be loaded on {host}: {reason}"
    limit = services.settings.max_backlog_inputs
    waiting = sum(sum(line.waiting) for line in lines)
    if waiting > FULL * limit:
        yield f"{waiting:,} of {limit:,} inputs wait that may wait: new submissions get 503 soon."


PAGES: list[tuple[str, Answer]] = [("/console/live/now", live_now)]
