"""Read jobs: how far each is, its results in the order of the file, and the rows that cannot be scored."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from handler.answer import jobs as answers
from handler.answer.job_bodies import JobPage, JobState, JobStatus, JobSummary
from handler.answer.result_stream import shape_of
from handler.answer.row_formats import preferred
from handler.auth.caller import EVERY_ROLE
from handler.http.body import model_response
from handler.http.operation import Operation, success
from handler.http.parameters import described_parameters, id_in, validated
from handler.http.request import ApiRequest
from handler.problems import ProblemKind, RequestRefused
from handler.routes.predictions import ROWS
from handler.services import Services
from handler.submit.reading import NDJSON
from store import jobs


class JobFilter(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    before: UUID | None = Field(None, description="`next` of the page before")
    limit: int = Field(100, ge=1, le=1000, description="How many jobs a page has at most")


class ResultOptions(BaseModel):
    """What a row of results has."""

    model_config = ConfigDict(extra="forbid")

    details: bool = Field(False, description="Whether each row says when it was scored, and in which task")
    inputs: bool = Field(True, description="Whether each row has its inputs; the caller's own key stays")
    numbers: bool = Field(True, description="Whether each row has its number in the file")


async def read_job(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Return a job: how many of its rows wait, are scored, rejected or failed, or how many tasks it has changed."""
    return model_response(await answers.state_of(services, id_in(request, "job_id"), request.caller))


async def list_jobs(request: ApiRequest, services: Services, client: str | None) -> Response:
    """List jobs, newest first: your own, or with a role that reads every client's, all of them."""
    asked, caller = validated(JobFilter, request.query_params), request.caller
    async with services.results.connection() as connection:
        rows = await jobs.newest(connection, caller.confined_to, asked.before, asked.limit + 1)
    page = [
        JobSummary(job_id=row.id, **{**row._asdict(), "client": row.client if caller.sees_clients else None})
        for row in rows[: asked.limit]
    ]
    return model_response(JobPage(jobs=page, next=page[-1].job_id if len(rows) > asked.limit else None))


async def read_results(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Stream the scored rows of a job in the order of the file: the row's number, inputs, outputs, version.

    The format is what `Accept` names: NDJSON (the default), CSV, or an Arrow IPC stream. CSV holds each text exactly; a
    spreadsheet may run one as a formula unless it imports the column as text.
    """
    asked = validated(ResultOptions, request.query_params)
    job = await answers.file_of(services, id_in(request, "job_id"), request.caller)
    model = await services.models.found(job.model)
    if model is None:
        raise RequestRefused(ProblemKind.UNKNOWN_MODEL, f"Unknown model {job.model!r}.")
    async with services.engine.connect() as connection:
        progress = await jobs.progress(connection, job.id)
    status = answers.status_of(job, progress)
    if status in (JobStatus.OPEN, JobStatus.RUNNING):
        waiting = "it is not closed" if status is JobStatus.OPEN else f"{progress.waiting} rows wait"
        raise RequestRefused(ProblemKind.JOB_NOT_FINISHED, f"Job {job.id} is not finished: {waiting}.")
    shape = shape_of(model, request.caller, numbered=asked.numbers, details=asked.details, inputs=asked.inputs)
    return services.results.respond(request, shape, preferred(request) or NDJSON, answers.sources(services, job.id))


async def read_rejects(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Stream the rows that cannot be scored as NDJSON: the row's number, and what is wrong by its place."""
    job = await answers.file_of(services, id_in(request, "job_id"), request.caller)
    rejects = answers.rejects(services, job.id, request.caller)
    return services.results.stream(request.caller.client, rejects, NDJSON)


_ONE = "/jobs/{job_id}"
_UNKNOWN = (ProblemKind.UNKNOWN_JOB,)

OPERATIONS = [
    Operation(
        *("GET", "/jobs", list_jobs, "jobs"),
        responses=success(JobPage, "One page of jobs, newest first"),
        request={"parameters": described_parameters(JobFilter)},
        roles=EVERY_ROLE,
    ),
    Operation(
        *("GET", _ONE, read_job, "jobs"),
        responses=success(JobState, "The job as it stands"),
        problems=_UNKNOWN,
        roles=EVERY_ROLE,
    ),
    Operation(
        *("GET", f"{_ONE}/results", read_results, "jobs"),
        responses=ROWS,
        problems=(*_UNKNOWN, ProblemKind.UNKNOWN_MODEL, ProblemKind.JOB_NOT_FINISHED, ProblemKind.LISTS_BUSY),
        request={"parameters": described_parameters(ResultOptions)},
        roles=EVERY_ROLE,
    ),
    Operation(
        *("GET", f"{_ONE}/rejects", read_rejects, "jobs"),
        responses={
            200: {
                "description": "The rejected rows",
                "content": {NDJSON: {"schema": {"type": "string", "examples": ['{"row":17,"errors":[]}\n']}}},
            }
        },
        problems=(*_UNKNOWN, ProblemKind.LISTS_BUSY),
        roles=EVERY_ROLE,
    ),
]
