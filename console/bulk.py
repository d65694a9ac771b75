"""Replays the failed tasks, or cancels the waiting ones, that match the filters of the list; so many at a time."""

from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import Response

from console.page import Answer, Visit
from console.task_list import ShownTasks, chosen_client
from handler.http.parameters import validated
from handler.problems import ProblemKind, RequestRefused
from store import transitions
from store.states import FAILURE, PENDING, STARTED, Status

MOST = 1_000
"""Tasks that one press of the button changes: the newest. Whoever wants more presses again."""

TOGETHER = 100
"""Tasks of one transaction."""


async def replay(visit: Visit) -> Response:
    """Let the newest failed tasks that match wait again, for rescue to publish."""
    asked, ids = await _chosen(visit, (FAILURE,))
    changed = 0
    for group in _groups(ids):
        async with visit.services.engine.begin() as connection:
            changed += len(await connection.run_sync(transitions.replay_these, group))
    return _back(visit, asked, changed)


async def cancel(visit: Visit) -> Response:
    """Cancel the newest tasks that match and have not ended."""
    asked, ids = await _chosen(visit, (PENDING, STARTED))
    everybodys, client = visit.caller.confined_to is None, visit.caller.client
    cancelled: list[UUID] = []
    for group in _groups(ids):
        async with visit.services.engine.begin() as connection:
            ended = [
                task_id
                for task_id in group
                if await connection.run_sync(transitions.cancel, task_id, client, any_clients=everybodys)
            ]
        for task_id in ended:
            visit.services.notifier.notify(task_id)
        cancelled += ended
    return _back(visit, asked, len(cancelled))


async def _chosen(visit: Visit, statuses: tuple[Status, ...]) -> tuple[ShownTasks, list[UUID]]:
    """Return what the form asks for, and the tasks that match. Raises RequestRefused."""
    asked = validated(ShownTasks, {name: str(value) for name, value in (await visit.form()).items()})
    if asked.key is not None or asked.id is not None:
        raise RequestRefused(ProblemKind.INVALID_PARAMETER, "Open the task itself: a key or an id names single tasks.")
    if asked.status not in statuses:
        detail = f"status: Must be {' or '.join(statuses)} here; choose it in the filters first."
        raise RequestRefused(ProblemKind.INVALID_PARAMETER, detail)
    filters = asked.model_dump(include={"model", "status", "submitted_after", "submitted_before"})
    rows = await visit.services.lists.page(visit.caller, chosen_client(visit, asked), **filters, limit=MOST)
    return asked, [row.task_id for row in rows]


def _groups(ids: list[UUID]) -> list[list[UUID]]:
    return [ids[place : place + TOGETHER] for place in range(0, len(ids), TOGETHER)]


def _back(visit: Visit, asked: ShownTasks, changed: int) -> Response:
    given = asked.model_dump(mode="json", exclude_none=True, exclude={"changed", "before"})
    return visit.go_to(f"/console/tasks?{urlencode({**given, 'changed': changed})}")


CHANGES: list[tuple[str, Answer]] = [("/console/tasks/replay", replay), ("/console/tasks/cancel", cancel)]
