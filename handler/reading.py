"""Reads a task's answer from PostgreSQL, at once or when the task has ended."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from handler.answers import answered_fields
from handler.problems import Refused
from handler.services import Services
from models.contract import Spec
from store import predictions, tasks
from store.states import FINAL, Status


async def read(
    services: Services,
    task_id: UUID,
    client: str | None,
    wait: float = 0,
    *,
    spec: Spec | None = None,
    new: asyncio.Event | None = None,
) -> dict[str, Any]:
    """Return a task's answer, at the latest after `wait` seconds, sooner when the task has ended. Raises Refused.

    Give the `spec` where it is known: that saves a round trip. Of a `new` task it is known that it waits until this
    event is set.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + wait
    with services.waiters.interest(task_id) as ended:
        if new is not None and not services.waiters.closed:
            await _set(new, until)
        while True:
            ended.clear()
            body = await _state(services, task_id, client, spec)
            if body["status"] in FINAL or clock() >= until or services.waiters.closed:
                return body
            await _set(ended, until)


async def _set(event: asyncio.Event, until: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await event.wait()


def scored(task: dict[str, Any], wait: float) -> dict[str, Any]:
    """Return the task, for endpoints that answer with nothing but outputs.

    Raises Refused for one that has not succeeded: with 504 where it has not ended within `wait` seconds, and goes on.
    """
    task_id = task["task_id"]
    if task["status"] == Status.SUCCESS:
        return task
    if task["status"] not in FINAL:
        detail = f"Not scored within {wait:g} s. It will be: read it at GET /task/{task_id}."
        raise Refused(504, "not-scored-yet", detail, task_id=task_id, headers={"Location": f"/task/{task_id}"})
    if task["status"] == Status.FAILURE:
        raise Refused(500, "task-failed", f"Scoring failed: {task['error']}.", task_id=task_id)
    detail = f"Task {task_id} is {task['status']}: {task['error'] or 'it was cancelled'}."
    raise Refused(409, "task-ended", detail, task_id=task_id)


def unknown_task(task_id: UUID) -> Refused:
    return Refused(404, "unknown-task", f"There is no task {task_id}.")


def unknown_model(model: str, services: Services) -> Refused:
    return Refused(404, "unknown-model", f"There is no model {model!r}; there is: {', '.join(services.specs)}.")


async def _state(services: Services, task_id: UUID, client: str | None, guess: Spec | None) -> dict[str, Any]:
    lists = None if guess is None else predictions.outputs(services.tables[guess.name], tuple(answered_fields(guess)))
    async with services.reads.connect() as connection:
        row = await tasks.read(connection, task_id, client, lists)
        if row is None:
            raise unknown_task(task_id)
        body: dict[str, Any] = dict(zip(row._fields, row[: tasks.SUMMARY], strict=False))
        if row.status == Status.SUCCESS:
            if row.model not in services.specs:
                raise unknown_model(row.model, services)  # it was, once
            spec = services.specs[row.model]
            names = list(answered_fields(spec))
            values: Sequence[Any] = row[tasks.SUMMARY :]
            if lists is None:
                values = await predictions.read(connection, services.tables[row.model], task_id, names)
            body |= dict(zip(names, values, strict=True))
            if spec.key and not any(value is not None for value in body[spec.key]):
                del body[spec.key]  # the caller gave none
        return body
