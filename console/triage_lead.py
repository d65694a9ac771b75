"""How the reviews of a model go: what is left, at which pace, and how far reviewers agree."""

from starlette.responses import Response

from console.desk import reviewable
from console.page import Answer, Visit
from handler.auth.caller import LEADS, REVIEWERS
from handler.routes import triage as api
from handler.routes.triage import ReviewPeriod
from handler.triage.holding import left
from handler.triage.leases import reviewed
from store import reviews


async def lead(visit: Visit) -> Response:
    """Show how the reviews go; names of reviewers only to roles that see them."""
    model = await reviewed(visit.services, visit.request.path_params["model"])
    period = ReviewPeriod(model=model.spec.name)
    async with visit.services.lists.reading(visit.caller) as connection:
        pace = await reviews.pace(connection, model.spec.name)
    remaining, decided = await left(visit.services, model), sum(one.last_hour for one in pace)
    return visit.render(
        "triage_lead.html",
        here="triage",
        name=model.spec.name,
        models=await reviewable(visit),
        left=remaining,
        newest=visit.services.settings.triage_pool,
        last_hour=decided,
        seconds_left=remaining / decided * 3600 if decided else None,
        pace=pace,
        masked=visit.caller.masked,
        may_review=visit.caller.role in REVIEWERS,
        draws=await api.draws_of(visit.services, period, visit.caller),
        agreement=await api.agreement_of(visit.services, period, visit.caller),
    )


ROLES = LEADS
PAGES: list[tuple[str, Answer]] = [("/console/triage/{model}/lead", lead)]
