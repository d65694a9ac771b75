"""The tasks that match the filters in the address, newest first, a page at a time."""

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response

from console.page import Answer, Visit
from handler.answer.tasks import summary
from handler.auth.caller import CHANGERS
from handler.http.parameters import Time, validated
from handler.problems import ProblemKind, RequestRefused
from handler.submit.bulk_jobs import LIMIT
from serving.contract import NO_NUL
from store.states import Status

PAGE = 50
"""Tasks on a page."""

COUNTED = 1_000
"""Tasks that are counted; of more it is said that there are more."""

WITH_KEY = 50
"""Tasks with one key that are found."""


def _filled(given: Any) -> Any:
    """Take an empty field of the form for one that is not there."""
    return given.strip() or None if isinstance(given, str) else given


_EMPTY = BeforeValidator(_filled)
_Text = Annotated[Annotated[str, Field(max_length=256, pattern=NO_NUL)] | None, _EMPTY]


class ShownTasks(BaseModel):
    """The filters, as the address has them."""

    model_config = ConfigDict(extra="forbid")

    model: _Text = None
    status: Annotated[Status | None, _EMPTY] = None
    client: _Text = None
    submitted_after: Annotated[Time | None, _EMPTY] = None
    submitted_before: Annotated[Time | None, _EMPTY] = None
    id: Annotated[UUID | None, _EMPTY] = None
    key: _Text = None
    before: Annotated[UUID | None, _EMPTY] = None


async def tasks(visit: Visit) -> Response:
    """List tasks; an id leads to the task itself."""
    given = visit.request.query_params
    asked = validated(ShownTasks, given)
    if asked.id is not None:
        return visit.go_to(f"/console/task/{asked.id}")
    if asked.key is not None:
        return await _with_key(visit, asked, asked.key)
    filters = asked.model_dump(include={"model", *_FILTERS})
    client = chosen_client(visit, asked)
    lists = visit.services.lists
    rows = await lists.page(visit.caller, client, **filters, before=asked.before, limit=PAGE + 1)
    total = await lists.count(visit.caller, client, **filters, limit=COUNTED + 1)
    shown = [summary(row, visit.caller) for row in rows[:PAGE]]
    more = {**_stated(given), "before": str(shown[-1]["task_id"])} if len(rows) > PAGE else None
    return _page(visit, shown, total=total, more=more)


async def _with_key(visit: Visit, asked: ShownTasks, key: str) -> Response:
    """Show the tasks that have an input with the caller's own key. Who may not see keys may not look for one."""
    if visit.caller.masked:
        detail = f"The role {visit.caller.role} sees no keys of inputs, so it finds none; look by model, state or time."
        raise RequestRefused(ProblemKind.ROLE_REFUSED, detail)
    if asked.model is None:
        raise RequestRefused(ProblemKind.INVALID_PARAMETER, "Choose the model whose inputs have this key.")
    model = await visit.services.models.found(asked.model)
    if model is None or model.spec.key is None:
        raise RequestRefused(ProblemKind.INVALID_PARAMETER, f"The inputs of the model {asked.model!r} have no key.")
    if asked.before is not None:
        detail = f"A key finds the latest {WITH_KEY} tasks, and has no further pages; leave `before` out."
        raise RequestRefused(ProblemKind.INVALID_PARAMETER, detail)
    filters, client = asked.model_dump(include=_FILTERS), chosen_client(visit, asked)
    lists, table = visit.services.lists, model.table
    rows = await lists.with_key(visit.caller, table, model.spec.key, key, client, **filters, limit=WITH_KEY)
    found = [summary(row, visit.caller) for row in rows]
    return _page(visit, found, total=len(found), more=None)


_FILTERS = {"status", "submitted_after", "submitted_before"}


def chosen_client(visit: Visit, asked: ShownTasks) -> str | None:
    """Return whose tasks the filters ask for; who sees no clients cannot ask."""
    return asked.client if visit.caller.sees_clients else None


def _page(visit: Visit, shown: list[dict[str, Any]], *, total: int, more: dict[str, str] | None) -> Response:
    keyed = {
        name: model.spec.public_names[model.spec.key]
        for name, model in visit.services.models.live.items()
        if model.spec.key
    }
    return visit.render(
        "tasks.html",
        here="tasks",
        tasks=shown,
        asked=visit.request.query_params,
        statuses=list(Status),
        models=list(visit.services.models.live),
        keyed={} if visit.caller.masked else keyed,
        total=f"{COUNTED:,}+" if total > COUNTED else f"{total:,}",
        more=None if more is None else urlencode(more),
        today=urlencode({"status": str(Status.FAILURE), "submitted_after": f"{datetime.now(UTC):%Y-%m-%d}T00:00Z"}),
        of_client=_of_client(visit.request.query_params),
        may_change=visit.caller.role in CHANGERS,
        bulk_limit=f"{LIMIT:,}",
    )


def _stated(given: Any) -> dict[str, str]:
    return {name: value for name, value in given.items() if value.strip()}


def _of_client(given: Any) -> str:
    """Return the filters in front of a client's name, for links that narrow the list to one."""
    return urlencode(
        {**{name: value for name, value in _stated(given).items() if name not in ("before", "client")}, "client": ""}
    )


PAGES: list[tuple[str, Answer]] = [("/console/tasks", tasks)]
