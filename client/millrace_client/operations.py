"""What a client can do, as operations: the requests, and what their responses mean."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote
from uuid import uuid4

from millrace_client.errors import Conflict, DeadlineExceeded, TaskFailed
from millrace_client.exchange import Call, Deadline, Operation, exchange
from millrace_client.models import Job, Model, TaskState

GRACE = 5.0
"""Seconds that the answer to such a request may take beyond its wait."""

WAIT = 30
"""Seconds for which one request waits for a task to end."""

JSON = {"Content-Type": "application/json"}

Page: TypeAlias = tuple[list[Mapping[str, Any]], str | None]
"""Some of a list, and what to ask for as `before` next; None on the last page."""

ReadPage: TypeAlias = Callable[[Mapping[str, str], Deadline], Operation[Page]]


class TaskOptions(NamedTuple):
    """Options of a submission; `expires` is in seconds from now."""

    priority: str | None = None
    expires: float | None = None
    callback_url: str | None = None


def submit(
    body: bytes, content_type: str, model: str, key: str, deadline: Deadline, options: TaskOptions | None = None
) -> Operation[str]:
    """Submit inputs and return its task's id."""
    options = options or TaskOptions()
    given = {"priority": options.priority, "deadline": options.expires, "callback_url": options.callback_url}
    params = {name: str(value) for name, value in given.items() if value is not None}
    headers = {"Content-Type": content_type, "Idempotency-Key": key}
    path = f"/models/{quote(model, safe='')}/submit"
    reply = yield from exchange(Call("POST", path, params, headers, body), deadline)
    task_id: str = reply.json()["task_id"]
    return task_id


def read_task(task_id: str, deadline: Deadline, wait: int = 0) -> Operation[TaskState]:
    """Return a task, when it has ended or after `wait` seconds."""
    headers = {"Prefer": f"wait={wait}"} if wait else {}
    reply = yield from exchange(Call("GET", f"/task/{quote(task_id, safe='')}", headers=headers), deadline)
    return TaskState.parse(reply.json())


def wait_for(task_id: str, deadline: Deadline) -> Operation[TaskState]:
    """Return a task that has succeeded. Raises TaskFailed, DeadlineExceeded."""
    while True:
        wait = max(1, int(min(WAIT, deadline.left)))
        state = yield from read_task(task_id, Deadline(wait + GRACE), wait)
        if state.status == "SUCCESS":
            return state
        if state.ended:
            raise TaskFailed({"task_id": task_id, "status": state.status, "error": state.error, "errors": state.errors})
        if deadline.left <= 0:
            raise DeadlineExceeded(f"task {task_id} is {state.status} after {deadline.seconds:g} s; it goes on")


def cancel(task_id: str, deadline: Deadline) -> Operation[TaskState]:
    """Cancel a task that has not ended. Raises Conflict for one that has."""
    try:
        reply = yield from exchange(Call("POST", f"/task/{quote(task_id, safe='')}/cancel", headers=JSON), deadline)
    except Conflict:
        state = yield from read_task(task_id, deadline)
        if state.status != "REVOKED":  # or the first attempt has cancelled it, and its answer was lost
            raise
        return state
    return TaskState.parse(reply.json())


def replay(task_id: str, deadline: Deadline) -> Operation[None]:
    """Have a failed task scored again. Raises Conflict for one that has not failed."""
    try:
        yield from exchange(Call("POST", f"/task/{quote(task_id, safe='')}/replay", headers=JSON), deadline)
    except Conflict:
        state = yield from read_task(task_id, deadline)
        if state.status not in ("PENDING", "STARTED"):  # or the first attempt has replayed it
            raise


def tasks(filters: Mapping[str, str], deadline: Deadline) -> Operation[Page]:
    """Return a page of tasks, newest first, and what to ask for as `before` next."""
    reply = yield from exchange(Call("GET", "/tasks", filters), deadline)
    page = reply.json()
    return page["tasks"], page["next"]


def models(deadline: Deadline) -> Operation[list[Model]]:
    reply = yield from exchange(Call("GET", "/models"), deadline)
    return [Model.parse(one) for one in reply.json()]


def model(name: str, deadline: Deadline) -> Operation[Model]:
    reply = yield from exchange(Call("GET", f"/models/{quote(name, safe='')}"), deadline)
    return Model.parse(reply.json())


def make_job(asked: Mapping[str, Any], key: str, deadline: Deadline) -> Operation[Job]:
    """Make a job, or find the one that was made with this key."""
    content = json.dumps({name: value for name, value in asked.items() if value is not None}).encode()
    reply = yield from exchange(Call("POST", "/jobs", {}, {**JSON, "Idempotency-Key": key}, content), deadline)
    return Job.parse(reply.json())


def read_job(job_id: str, deadline: Deadline) -> Operation[Job]:
    reply = yield from exchange(Call("GET", f"/jobs/{quote(job_id, safe='')}"), deadline)
    return Job.parse(reply.json())


def send_part(
    job_id: str, number: int, first_row: int, body: bytes, headers: Mapping[str, str], deadline: Deadline
) -> Operation[tuple[int, int]]:
    """Store a part of a job, and return how many rows it has and how many of these are rejected."""
    path, params = f"/jobs/{quote(job_id, safe='')}/parts/{number}", {"first_row": str(first_row)}
    reply = yield from exchange(Call("POST", path, params, headers, body), deadline)
    stored = reply.json()
    return stored["rows"], stored["rejected"]


def close_job(job_id: str, parts: int, deadline: Deadline) -> Operation[Job]:
    call = Call("POST", f"/jobs/{quote(job_id, safe='')}/close", {}, JSON, json.dumps({"parts": parts}).encode())
    reply = yield from exchange(call, deadline)
    return Job.parse(reply.json())


def cancel_job(job_id: str, deadline: Deadline) -> Operation[Job]:
    reply = yield from exchange(Call("POST", f"/jobs/{quote(job_id, safe='')}/cancel", headers=JSON), deadline)
    return Job.parse(reply.json())


def score(parts: Iterator[tuple[bytes, str]], name: str, key: str | None, timeout: float) -> Operation[list[TaskState]]:
    """Submit parts, then wait for each. Raises TaskFailed, DeadlineExceeded."""
    deadline, stem = Deadline(timeout), key or str(uuid4())
    ids = []
    for number, (body, kind) in enumerate(parts):
        ids.append((yield from submit(body, kind, name, f"{stem}/{number}", deadline)))
    return (yield from _each([wait_for(task_id, deadline) for task_id in ids]))


def _each(waiting: Sequence[Operation[TaskState]]) -> Operation[list[TaskState]]:
    states: list[TaskState] = []
    for one in waiting:
        state = yield from one
        states.append(state)
    return states


def joined(states: Sequence[TaskState]) -> dict[str, list[Any]]:
    """Return the outputs of several tasks one after another. A field that some do not have is null there."""
    names = dict.fromkeys(name for state in states for name in state.outputs)
    return {
        name: [value for state in states for value in state.outputs.get(name, [None] * state.n_inputs)]
        for name in names
    }


def jobs(limit: int, deadline: Deadline) -> Operation[list[Mapping[str, Any]]]:
    """Return the newest jobs."""
    reply = yield from exchange(Call("GET", "/jobs", {"limit": str(limit)}), deadline)
    found: list[Mapping[str, Any]] = reply.json()["jobs"]
    return found


def validate(name: str, body: bytes, content_type: str, deadline: Deadline) -> Operation[Mapping[str, Any]]:
    """Return which rows of a body would be rejected. Nothing is stored."""
    path = f"/models/{quote(name, safe='')}/validate"
    reply = yield from exchange(Call("POST", path, {}, {"Content-Type": content_type}, body), deadline)
    found: Mapping[str, Any] = reply.json()
    return found
