"""What can go wrong. Each error of the API is an exception that carries the problem's fields (RFC 9457)."""

from collections.abc import Mapping, Sequence
from typing import Any

MAX_SHOWN = 5
"""Field errors that a message repeats; `errors` has all that the server listed."""


class MillraceError(Exception):
    """The base of all errors of this package."""


class ServerUnavailable(MillraceError):
    """The server could not be reached, or could not answer, before the deadline."""


class DeadlineExceeded(MillraceError):
    """The deadline passed while the client waited for a task or a job. It goes on: read it later by its id."""


class ApiError(MillraceError):
    """The server refused a request."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.kind: str = str(problem.get("type", "")).rpartition(":")[2]
        """The problem's kind, such as `invalid-input`: docs/reference/errors.md lists them."""
        self.title: str = problem.get("title", "")
        self.detail: str = problem.get("detail", "")
        self.errors: Sequence[Mapping[str, str]] = problem.get("errors", ())
        """`pointer` and `detail` of each field that is wrong."""
        self.task_id: str | None = problem.get("task_id")
        places = [f"{error.get('pointer', error.get('parameter'))}: {error['detail']}" for error in self.errors]
        super().__init__("; ".join([self.detail or self.title or f"HTTP {status}", *places[:MAX_SHOWN]]))


class InvalidInput(ApiError):
    """The inputs, a parameter or a header are wrong: `errors` names the places."""


class Unauthorized(ApiError):
    """The API key is missing or unknown, or its role lacks the right."""


class NotFound(ApiError):
    """There is no such task, job or model, or it belongs to another client."""


class Conflict(ApiError):
    """The task, job or model is not in a state in which this is possible."""


class TaskFailed(MillraceError):
    """A task ended without scores: it failed, expired, or was cancelled."""

    def __init__(self, task: Mapping[str, Any]) -> None:
        self.task_id: str = task["task_id"]
        self.status: str = task["status"]
        self.errors: Sequence[Mapping[str, str]] = task.get("errors") or ()
        """The inputs at fault, where it failed because of them."""
        super().__init__(f"task {self.task_id} is {self.status}: {task.get('error') or 'no reason is given'}")


_BY_STATUS: Mapping[int, type[ApiError]] = {
    **dict.fromkeys((400, 413, 415, 422), InvalidInput),
    **dict.fromkeys((401, 403), Unauthorized),
    404: NotFound,
    409: Conflict,
}


def api_error(status: int, problem: Any) -> ApiError:
    """Return the error of a response."""
    return _BY_STATUS.get(status, ApiError)(status, problem if isinstance(problem, Mapping) else {})
