"""Jobs: many tasks under one id, such as the rows of a file. Make one, send its parts, close it, read its results."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Row
from starlette.responses import Response

from handler.answer import jobs as answers
from handler.answer.job_bodies import AcceptedPart, ClosedJob, JobState, NewJob
from handler.auth.caller import CHANGERS, SUBMITTERS, role_refused
from handler.http import body
from handler.http.body import JSON, charset, content_type, model_response, parse_json
from handler.http.compression import content_encoding
from handler.http.operation import Operation, success
from handler.http.parameters import described_parameters, id_in, invalid_parameters, validated
from handler.http.request import ApiRequest
from handler.problems import ProblemKind, RequestRefused
from handler.routes.submissions import ANY_ROWS, FLAGSHIP
from handler.services import Services
from handler.submit import reading, submission, upload, validation
from handler.submit.bulk_jobs import NewBulkJob, described_job, is_bulk, made_of_tasks, stop
from handler.submit.callback_url import checked
from handler.submit.jobs import PartKey, accept_part, accept_patiently, made_of_file, read_part, sift_part
from handler.submit.options import key_of, option_parameters
from handler.submit.reading import CSV, NDJSON, TSV
from serving.contract import Spec
from store import jobs, task_events, transitions
from store.job_tables import BULK
from store.jobs import PartsMissing
from store.task_events import TaskEvent, client_as_actor

UPLOADED = (CSV, TSV, NDJSON)
"""The formats in which a whole file may be the body of one request."""


class PartPlace(BaseModel):
    """Where in the file a part stands."""

    model_config = ConfigDict(extra="forbid")

    first_row: int | None = Field(
        None,
        ge=1,
        le=2**53,
        description="Number of the part's first row in the file, from 1; of part 0 it is 1 unless said",
        examples=[1],
    )


async def create_job(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Make a job, and send its parts then; or send a whole file of CSV, TSV or NDJSON as the body.

    With a file, the query has what the JSON object would have: `?model=report_scorer&on_invalid=collect`. A file whose
    upload was interrupted is sent again with the same Idempotency-Key: what is stored already stays.

    Of the kind `replay` or `cancel` it changes the tasks that its `filter` chooses, up to its `limit`, each as
    `POST /task/<id>/replay` or `cancel` would: those of every client with the role `operate`, with `submit` your own.
    """
    whole = content_type(request) in reading.FORMATS and reading.FORMATS[content_type(request)] in UPLOADED
    given = None if whole else parse_json(await services.bodies.read_as(request, JSON, *UPLOADED))
    if is_bulk(given):
        asked_tasks = validation.model_of(NewBulkJob, given)
        return await _answer(request, services, *(await made_of_tasks(request, services, asked_tasks)))
    if request.caller.role not in SUBMITTERS:
        raise role_refused(request.caller.role, SUBMITTERS)
    asked = validated(NewJob, request.query_params) if whole else validation.model_of(NewJob, given)
    services.models.get(asked.model)
    if asked.callback_url is not None:
        asked.callback_url = checked(asked.callback_url, services.webhooks, in_query=whole)
    services.backlog.check()
    if not whole:
        return await _answer(request, services, *(await made_of_file(request, services, asked)))
    with upload.admit(request):
        content_encoding(request)
        job_id, repeated = await made_of_file(request, services, asked)
        try:
            await _upload(request, services, await answers.job_of(services, job_id, request.caller))
        except RequestRefused as refused:
            if key_of(request) is None:  # nobody could send the rest
                await _cancel(services, job_id, client)
            refused.headers = {**(refused.headers or {}), "Location": f"/jobs/{job_id}"}
            refused.detail += f" It is job {job_id}."
            raise
        return await _answer(request, services, job_id, repeated)


async def _answer(request: ApiRequest, services: Services, job_id: UUID, repeated: bool) -> Response:
    response = model_response(await answers.state_of(services, job_id, request.caller), 202)
    response.headers["Location"] = f"/jobs/{job_id}"
    if repeated:
        response.headers["Idempotency-Replayed"] = "true"
    return response


async def _upload(request: ApiRequest, services: Services, job: Row[Any]) -> None:
    """Store the parts of a file while it arrives, and close the job."""
    model = services.models.get(job.model)
    kind, encoding = reading.FORMATS[content_type(request)], charset(request)
    number, first_row = 0, 1
    async for part in upload.parts_of(request, services.bodies, kind, model.spec):
        rows = await sift_part(model, job.on_invalid, kind, part.body, encoding, first_row)
        await accept_patiently(services, job, model, PartKey(job.id, number, first_row), rows)
        n_rows = (rows.inputs.n_inputs if rows.inputs else 0) + len(rows.rejected)
        number, first_row = number + 1, first_row + n_rows
    if not number:
        raise RequestRefused(ProblemKind.INVALID_INPUT, "The file has no rows.")
    await _close(services, job.id, number)


async def add_part(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Store consecutive rows of a job, in any format of a batch, as a task of its own. Repeated, it changes nothing."""
    job = await answers.file_of(services, id_in(request, "job_id"), request.caller)
    part = _number(request)
    asked = validated(PartPlace, request.query_params)
    if asked.first_row is None and part > 0:
        error = {"detail": "Give the number of the part's first row in the file, from 1", "parameter": "first_row"}
        raise invalid_parameters([error])
    first_row = asked.first_row or 1
    services.backlog.check()
    model = services.models.get(job.model)
    rows = await read_part(request, services.bodies, model, job.on_invalid)
    stored = await accept_part(services, job, model, PartKey(job.id, part, first_row), rows)
    return model_response(
        AcceptedPart(job_id=job.id, part=part, task_id=stored.task_id, rows=stored.n_rows, rejected=stored.n_rejected),
        202,
    )


async def close_job(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Say that a job has all its parts."""
    job = await answers.file_of(services, id_in(request, "job_id"), request.caller)
    empty = not request.header(b"content-type") and not await services.bodies.read(request)
    given = {} if empty else parse_json(await services.bodies.read_as(request, JSON))
    asked = validation.model_of(ClosedJob, given)
    await _close(services, job.id, asked.parts)
    return model_response(await answers.state_of(services, job.id, request.caller))


async def _close(services: Services, job_id: UUID, parts: int | None) -> None:
    try:
        async with services.engine.begin() as connection:
            await jobs.close(connection, job_id, parts)
    except PartsMissing as error:
        listed = ", ".join(map(str, error.missing)) or "none, but the job has more parts than that"
        raise RequestRefused(ProblemKind.PARTS_MISSING, f"Missing parts: {listed}.") from None


async def cancel_job(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Cancel a job that has not ended: its waiting tasks are cancelled, and what is scored stays.

    A job that replays or cancels tasks stops; what it has changed stays so.
    """
    job = await answers.job_of(services, id_in(request, "job_id"), request.caller)
    cancelled = await (stop(services, job.id, client) if job.kind in BULK else _cancel(services, job.id, client))
    if not cancelled and job.cancelled_at is None:
        raise RequestRefused(ProblemKind.JOB_CLOSED, f"Job {job.id} has ended; only unfinished ones are cancelled.")
    return model_response(await answers.state_of(services, job.id, request.caller))


async def _cancel(services: Services, job_id: UUID, client: str | None) -> bool:
    async with services.engine.begin() as connection:
        cancelled = await jobs.cancel(connection, job_id)
        if cancelled:
            await connection.run_sync(_cancel_tasks, job_id, client)
    return cancelled


def _cancel_tasks(connection: Connection, job_id: UUID, client: str | None) -> None:
    ended = transitions.cancel_job(connection, job_id, client)
    actor = client_as_actor(client)
    event = task_events.note_many(connection, TaskEvent.CANCELLED, actor, len(ended), job_id=job_id)
    task_events.note(connection, TaskEvent.CANCELLED, actor, ended, part_of=event)


def _number(request: ApiRequest) -> int:
    text = request.path_params["part"]
    if not (text.isascii() and text.isdigit() and len(text) <= 7):
        detail = f"part: Must be a number from 0 to 9999999, not {text[:40]!r}."
        errors = [{"detail": "Must be a number from 0 to 9999999", "parameter": "part"}]
        raise RequestRefused(ProblemKind.INVALID_PARAMETER, detail, errors=errors)
    return int(text)


def _takes(schema: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {JSON: schema}}}


_ONE = "/jobs/{job_id}"
_UNKNOWN = (ProblemKind.UNKNOWN_JOB,)
_MODEL = (ProblemKind.UNKNOWN_MODEL, ProblemKind.NO_LIVE_VERSION)
_KEY = next(parameter for parameter in option_parameters() if parameter["in"] == "header")
_PART_OF = (*_UNKNOWN, *_MODEL, ProblemKind.JOB_CLOSED, ProblemKind.PART_REUSED)


def operations(specs: Mapping[str, Spec]) -> list[Operation]:
    """Return the operations. The example of a part fits the example of a job, which is of the flagship."""
    return [
        Operation(
            *("POST", "/jobs", create_job, "jobs"),
            responses=success(JobState, "The job is made", 202),
            problems=(*submission.PROBLEMS, *_PART_OF),
            request={
                "parameters": [_KEY],
                **_takes({"schema": described_job(), "example": {"model": FLAGSHIP}}, required=True),
            },
            roles=CHANGERS,
        ),
        Operation(
            *("POST", f"{_ONE}/parts/{{part}}", add_part, "jobs"),
            responses=success(AcceptedPart, "The part is stored durably", 202),
            problems=(*submission.PROBLEMS, *_PART_OF),
            request={
                "parameters": described_parameters(PartPlace),
                "requestBody": {
                    "required": True,
                    "content": {JSON: {"schema": ANY_ROWS, "example": [specs[FLAGSHIP].example]}},
                },
            },
        ),
        Operation(
            *("POST", f"{_ONE}/close", close_job, "jobs"),
            responses=success(JobState, "The job takes no more parts"),
            problems=(
                *body.PROBLEMS,
                *_UNKNOWN,
                ProblemKind.PARTS_MISSING,
                ProblemKind.INVALID_INPUT,
                ProblemKind.INVALID_JSON,
            ),
            request=_takes({"schema": ClosedJob.model_json_schema()}, required=False),
        ),
        Operation(
            *("POST", f"{_ONE}/cancel", cancel_job, "jobs"),
            responses=success(JobState, "The job is cancelled"),
            problems=(*_UNKNOWN, ProblemKind.JOB_CLOSED),
            roles=CHANGERS,
        ),
    ]
