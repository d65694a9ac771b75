"""Who has replayed or cancelled what: single tasks, and many at once, the latest first."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from console.page import Answer, Visit
from handler.http.parameters import validated
from store import task_events

PAGE = 50
"""Events on a page."""


class ShownChanges(BaseModel):
    """Where the page begins."""

    model_config = ConfigDict(extra="forbid")

    before: int | None = Field(default=None, ge=1, le=2**62)


async def changes(visit: Visit) -> Response:
    """List what was replayed and cancelled: what your own keys did, or with a role that sees every client, all."""
    asked = validated(ShownChanges, visit.request.query_params)
    async with visit.services.lists.reading(visit.caller) as connection:
        rows = await task_events.newest(connection, visit.caller.confined_to, asked.before, PAGE + 1)
    shown = rows[:PAGE]
    return visit.render(
        "changes.html",
        here="tasks",
        events=[{**row._asdict(), "who": who(visit, row)} for row in shown],
        more=shown[-1].id if len(rows) > PAGE else None,
    )


def who(visit: Visit, event: Any) -> str:
    """Return who did it, as the caller may know: whom a client's own key does not tell is an operator."""
    own = visit.caller.confined_to
    return str(event.by) if own is None or event.client == own else "an operator"


PAGES: list[tuple[str, Answer]] = [("/console/changes", changes)]
