"""Makes a job of the filters of the list: it replays the failed tasks that match, or cancels the waiting ones."""

from typing import Literal

from starlette.responses import Response

from console.page import Answer, Visit
from console.task_list import ShownTasks, chosen_client
from handler.answer.job_bodies import BulkFilter
from handler.http.parameters import validated
from handler.problems import ProblemKind, RequestRefused
from handler.submit.bulk_jobs import LIMIT, STATUSES, NewBulkJob, made_of_tasks
from store.job_tables import JobKind


async def replay(visit: Visit) -> Response:
    """Let the failed tasks that match wait again."""
    return await _begin(visit, JobKind.REPLAY)


async def cancel(visit: Visit) -> Response:
    """Cancel the tasks that match and have not ended."""
    return await _begin(visit, JobKind.CANCEL)


async def _begin(visit: Visit, kind: Literal[JobKind.REPLAY, JobKind.CANCEL]) -> Response:
    """Make the job, and show how far it is. Raises RequestRefused."""
    asked = validated(ShownTasks, {name: str(value) for name, value in (await visit.form()).items()})
    if asked.key is not None or asked.id is not None:
        raise RequestRefused(ProblemKind.INVALID_PARAMETER, "Open the task itself: a key or an id names single tasks.")
    if asked.status is None or asked.status not in STATUSES[kind]:
        detail = f"status: Must be {' or '.join(STATUSES[kind])} here; choose it in the filters first."
        raise RequestRefused(ProblemKind.INVALID_PARAMETER, detail)
    chosen = BulkFilter.model_construct(
        status=asked.status,
        model=asked.model,
        client=chosen_client(visit, asked),
        submitted_after=asked.submitted_after,
        submitted_before=asked.submitted_before,
    )
    job = NewBulkJob.model_construct(kind=kind, filter=chosen, limit=LIMIT)
    job_id, _ = await made_of_tasks(visit.request, visit.services, job)
    return visit.go_to(f"/console/job/{job_id}")


CHANGES: list[tuple[str, Answer]] = [("/console/tasks/replay", replay), ("/console/tasks/cancel", cancel)]
