"""How a file is to be scored, and how far it is."""

from dataclasses import dataclass, field

from millrace_client.errors import MillraceError
from millrace_client.models import Job
from millrace_client.parts import Columns


class JobFailed(MillraceError):
    """The job has rows that were not scored, though they are valid; the task list says why."""

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(
            f"{job.rows['failed']} of {job.rows['received']} rows were not scored: their tasks failed, expired or were "
            "cancelled (millrace tasks --status FAILURE)"
        )


@dataclass(frozen=True)
class Progress:
    """How far a file is. `read` rows have been sent; `share` of its bytes, where its size is known."""

    read: int
    scored: int = 0
    rejected: int = 0
    share: float | None = None
    sent: bool = False
    """Whether all rows have been sent."""


@dataclass(frozen=True)
class FileOptions:
    """How to score a file. `rejects` is where rejected rows are written, if anywhere."""

    model: str = "report_scorer"
    columns: Columns = field(default_factory=Columns)
    batch: int | None = None
    on_invalid: str = "stop"
    """stop, skip or collect."""
    rejects: str | None = None
    priority: str = "low"
    callback_url: str | None = None
    """Called once, when the job has ended."""
    input_format: str | None = None
    output_format: str | None = None
    encoding: str | None = None
    outputs_only: bool = False
    details: bool = False
    timeout: float = 24 * 3600
    resume: bool = False
