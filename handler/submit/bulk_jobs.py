"""Makes jobs that replay or cancel what a filter chooses; rescue does them (rescue/jobs.py)."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from handler.answer.job_bodies import BulkFilter, NewJob
from handler.http.json_schema import inlined
from handler.http.request import ApiRequest
from handler.services import Services
from handler.submit import validation
from handler.submit.jobs import made
from store import bulk_jobs, jobs
from store.job_tables import BULK, JobKind
from store.states import FAILURE, PENDING, STARTED, Status
from store.task_events import client_as_actor

LIMIT = 100_000
"""Tasks that one job chooses at most, within the request that makes it: PostgreSQL takes 0.1 s for so many."""

STATUSES: dict[JobKind, tuple[Status, ...]] = {JobKind.REPLAY: (FAILURE,), JobKind.CANCEL: (PENDING, STARTED)}


class NewBulkJob(BaseModel):
    """A job that replays or cancels the tasks that a filter chooses."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal[JobKind.REPLAY, JobKind.CANCEL] = Field(examples=[JobKind.REPLAY])
    filter: BulkFilter
    limit: int = Field(LIMIT, ge=1, le=LIMIT, description="How many tasks it chooses at most, the newest first")


def described_job() -> dict[str, Any]:
    """Return the schema of one object that has the members of every kind of job, for the OpenAPI document.

    Generated clients do not understand a choice between two objects. They send defaults along, so there are none.
    """
    file, bulk = (inlined(model.model_json_schema()) for model in (NewJob, NewBulkJob))
    members = {**file["properties"], **bulk["properties"]}
    for name in members.keys() - {"kind"}:
        where = "Only of the kind file" if name in file["properties"] else "Only of the kinds replay and cancel"
        said = ". ".join(filter(None, [members[name].pop("description", None), where]))
        members[name] = {key: value for key, value in members[name].items() if key != "default"} | {"description": said}
    kinds = [JobKind.FILE, *bulk["properties"]["kind"]["enum"]]
    members["kind"] = {"type": "string", "enum": kinds, "default": JobKind.FILE, "examples": [JobKind.FILE]}
    return {**file, "properties": members, "required": []}


def is_bulk(given: Any) -> bool:
    """Return whether a body asks for a job of tasks that there are, and not for one of a file."""
    kind = given.get("kind") if isinstance(given, dict) else None
    return isinstance(kind, str) and kind in BULK


async def made_of_tasks(request: ApiRequest, services: Services, asked: NewBulkJob) -> tuple[UUID, bool]:
    """Make the job and choose its tasks, of those that the caller may see. Raises RequestRefused."""
    if asked.filter.status not in STATUSES[asked.kind]:
        allowed = " or ".join(STATUSES[asked.kind])
        detail = f"Must be {allowed} in a job of kind {asked.kind}"
        validation.refuse_invalid([{"detail": detail, "pointer": "#/filter/status"}])
    client = request.caller.confined_to or asked.filter.client
    chosen = asked.filter.model_copy(update={"client": client})
    stated = chosen.model_dump(mode="json", exclude_none=True)
    actor = client_as_actor(request.caller.client)

    async def choose(connection: AsyncConnection, job_id: UUID) -> None:
        await bulk_jobs.choose(connection, job_id, actor, stated, asked.limit, **chosen.model_dump())

    job = {"kind": asked.kind, "model": chosen.model, "filter": stated, "task_limit": asked.limit}
    return await made(request, services, job, choose)


async def stop(services: Services, job_id: UUID, client: str | None) -> bool:
    """Have a job change no further task, and return whether it had not ended."""
    async with services.engine.begin() as connection:
        stopped = await jobs.cancel(connection, job_id)
        if stopped:
            await bulk_jobs.stop(connection, job_id, client_as_actor(client))
    return stopped
