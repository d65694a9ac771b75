"""What the API answers with, typed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

ENDED = frozenset({"SUCCESS", "FAILURE", "REVOKED", "EXPIRED"})

_OWN = {
    *("task_id", "status", "model", "model_version", "n_inputs", "submitted_at", "started_at", "finished_at"),
    *("error", "errors", "client", "masked"),
}


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task as it stood when it was read. Once it has succeeded, `outputs` has a list for each field."""

    task_id: str
    status: str
    model: str
    model_version: str | None
    n_inputs: int
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    errors: Sequence[Mapping[str, str]] = ()
    outputs: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the outputs of each input, in the order of the inputs."""
        return (dict(zip(self.outputs, row, strict=True)) for row in zip(*self.outputs.values(), strict=True))

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> "TaskState":
        return cls(
            task_id=body["task_id"],
            status=body["status"],
            model=body["model"],
            model_version=body["model_version"],
            n_inputs=body["n_inputs"],
            submitted_at=datetime.fromisoformat(body["submitted_at"]),
            started_at=_time(body["started_at"]),
            finished_at=_time(body["finished_at"]),
            error=body["error"],
            errors=body.get("errors") or (),
            outputs={name: value for name, value in body.items() if name not in _OWN},
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A served model. `input` and `output` are the JSON schemas of one row."""

    name: str
    title: str
    version: str
    runtime: str
    processes: int
    """Worker processes that have it loaded."""
    max_inputs: int | None = None
    key: str | None = None
    """The field that holds the caller's own key."""
    input: Mapping[str, Any] | None = None
    output: Mapping[str, Any] | None = None
    outcomes: Mapping[str, Any] | None = None
    """What its outcomes can be, and which one is the target."""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> "Model":
        return cls(**{name: body[name] for name in cls.__slots__ if name in body})


@dataclass(frozen=True, slots=True)
class Job:
    """How far a job is.

    `rows` has, of a file, the numbers of those received, waiting, scored, rejected, failed, and deleted since; `tasks`
    has, of a job that replays or cancels, the numbers of those matched, waiting, done, left alone, and its limit.
    """

    job_id: str
    status: str
    model: str | None
    parts: int
    rows: Mapping[str, int]
    created_at: datetime
    kind: str = "file"
    tasks: Mapping[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.status in ("DONE", "CANCELLED")

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> "Job":
        return cls(
            job_id=body["job_id"],
            status=body["status"],
            model=body["model"],
            parts=body["parts"],
            rows=body["rows"] or {},
            created_at=datetime.fromisoformat(body["created_at"]),
            kind=body.get("kind", "file"),
            tasks=body.get("tasks") or {},
        )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
