"""What a client that waits for scores is told if its task did not succeed."""

from collections.abc import Mapping
from typing import Any

from handler.problems import ProblemKind, RequestRefused
from store.states import FINAL, Status

PROBLEMS = (ProblemKind.TASK_ENDED, ProblemKind.TASK_FAILED, ProblemKind.NOT_SCORED_YET)
"""What `require_success` raises, beside INVALID_INPUT."""


def invalid_input(task: Mapping[str, Any]) -> RequestRefused:
    """Return the error for a task that failed because of its inputs."""
    errors = task["errors"]
    count = f"{len(errors)} error{'s'[: len(errors) > 1]}"
    detail = f"{count} in the input, found while it was scored; task {task['task_id']} has failed."
    return RequestRefused(ProblemKind.INVALID_INPUT, detail, errors=errors, task_id=task["task_id"])


def require_success(task: Mapping[str, Any], wait: float) -> None:
    """Raise RequestRefused for a task that has not succeeded, for endpoints that answer with nothing but outputs.

    NOT_SCORED_YET: it has not ended within `wait` seconds.
    """
    task_id, status = task["task_id"], task["status"]
    if status == Status.SUCCESS:
        return
    if status not in FINAL:
        detail = f"Not scored within {wait:g} s. The task continues; read it at GET /task/{task_id}."
        headers = {"Location": f"/task/{task_id}"}
        raise RequestRefused(ProblemKind.NOT_SCORED_YET, detail, task_id=task_id, headers=headers)
    if task.get("errors"):
        raise invalid_input(task)
    if status == Status.FAILURE:
        raise RequestRefused(ProblemKind.TASK_FAILED, f"Scoring failed: {task['error']}.", task_id=task_id)
    detail = f"Task {task_id} is {status}: {task['error'] or 'it was cancelled'}."
    raise RequestRefused(ProblemKind.TASK_ENDED, detail, task_id=task_id)
