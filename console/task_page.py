"""One task: its way through the states, its inputs beside its outputs, and what can be done with it."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from starlette.responses import Response

from console import live, model_shadow
from console.changes import who
from console.live import Part
from console.page import Answer, Visit
from console.remedies import remedy_of
from console.task_rows import DrawnRows
from handler.answer.tasks import masked_error
from handler.auth.caller import CHANGERS
from handler.http.parameters import id_in
from handler.routes import tasks as api
from store import task_events, task_story
from store.states import FINAL, Priority, Status

CHANGES_SHOWN = 20
"""Replays and cancels of one task that its page shows, the latest."""


@dataclass(frozen=True)
class TaskStep:
    """A state that the task has reached, is in, or will reach."""

    name: str
    at: datetime | None
    about: str
    kind: str
    """done, now, good, bad or ahead: how it is drawn."""
    seconds: float | None = None
    """Since the step before."""


async def task(visit: Visit) -> Response:
    """Show a task. Raises RequestRefused for one that there is not, or that is another client's."""
    part = await _part(visit, id_in(visit.request, "task_id"), DrawnRows())
    return visit.render(
        "task.html", here="tasks", part=part.html, ended=part.ended, task_id=id_in(visit.request, "task_id")
    )


async def live_task(visit: Visit) -> Response:
    """Keep the page of a task up to date until it has ended."""
    task_id = id_in(visit.request, "task_id")
    await visit.services.tasks.read_summary(task_id, visit.caller)  # a stream that begins can tell of no error
    drawn = DrawnRows()
    return await live.respond(visit, lambda: _part(visit, task_id, drawn), task_id)


async def cancel(visit: Visit) -> Response:
    """Cancel a task that has not ended."""
    await api.cancel_task(visit.request, visit.services, visit.caller.client)
    return visit.go_to(f"/console/task/{id_in(visit.request, 'task_id')}")


async def replay(visit: Visit) -> Response:
    """Score a task that failed once more."""
    await api.replay_task(visit.request, visit.services, visit.caller.client)
    return visit.go_to(f"/console/task/{id_in(visit.request, 'task_id')}")


async def _part(visit: Visit, task_id: UUID, drawn: DrawnRows) -> Part:
    task = await visit.services.tasks.read_summary(task_id, visit.caller)
    async with visit.services.engine.connect() as connection:
        story = await task_story.story(connection, task_id)
        changes = await task_events.of_task(connection, task_id, CHANGES_SHOWN)
    ended = task["status"] in FINAL and (story is None or story.callback_due_at is None)
    html = visit.html(
        "task_part.html",
        task=task,
        story=story,
        priority=Priority(story.priority).name.lower() if story else None,
        steps=_steps(task, story),
        remedy=remedy_of(task["error"], task["status"], faults=bool(task.get("errors"))),
        callback=None if story is None or story.callback_url is None else _callback(visit, story),
        rows=await drawn.html(visit, task, story.attempt if story else 0),
        others=await model_shadow.of_task(visit, task_id) if task["status"] == Status.SUCCESS else [],
        most_others=model_shadow.OF_TASK,
        masked_error=masked_error,
        changes=changes,
        who=partial(who, visit),
        may_change=visit.caller.role in CHANGERS,
    )
    return Part(html, ended)


def _steps(task: dict[str, Any], story: Any) -> list[TaskStep]:
    """Return the way of the task: accepted, claimed, ended."""
    submitted, started, finished = task["submitted_at"], task["started_at"], task["finished_at"]
    status = task["status"]
    attempts = story.attempt if story else 0
    lost = f", {story.lost_attempts} lost with their workers" if story and story.lost_attempts else ""
    claimed = f"attempt {attempts}{lost}" if attempts else ""
    steps = [TaskStep("PENDING", submitted, "stored durably", "now" if status == Status.PENDING else "done")]
    if started is not None:
        waited = (started - submitted).total_seconds()
        steps.append(TaskStep("STARTED", started, claimed, "now" if status == Status.STARTED else "done", waited))
    elif status == Status.PENDING:
        steps.append(TaskStep("STARTED", None, claimed or "a worker claims it", "ahead"))
    if finished is None:
        return [*steps, TaskStep("SUCCESS", None, "its scores are stored", "ahead")]
    about = f"version {task['model_version']}" if task["model_version"] else ""
    took = (finished - (started or submitted)).total_seconds()
    return [*steps, TaskStep(status, finished, about, "good" if status == Status.SUCCESS else "bad", took)]


def _callback(visit: Visit, story: Any) -> dict[str, Any]:
    """Return a callback's fate: of its URL the host only, as the rest may hold a secret of its receiver."""
    error = story.callback_last_error
    if error and visit.caller.masked:
        error = masked_error(error)
    if story.callback_delivered_at:
        fate = "delivered"
    elif story.callback_given_up_at:
        fate = "given up"
    else:
        fate = "due" if story.callback_due_at else "waits for the task to end"
    return {
        "host": story.callback_url.split("/")[2],
        "fate": fate,
        "at": story.callback_delivered_at or story.callback_given_up_at or story.callback_due_at,
        "attempts": story.callback_attempts,
        "last": error or (f"HTTP {story.callback_last_status}" if story.callback_last_status else None),
    }


PAGES: list[tuple[str, Answer]] = [("/console/task/{task_id}", task), ("/console/live/task/{task_id}", live_task)]
CHANGES: list[tuple[str, Answer]] = [
    ("/console/task/{task_id}/cancel", cancel),
    ("/console/task/{task_id}/replay", replay),
]
