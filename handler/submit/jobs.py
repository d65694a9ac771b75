"""Makes jobs, and accepts the parts of one.

A part is stored with its task in one transaction, and published like any other task.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from handler.answer.job_bodies import NewJob
from handler.http.body import BodyReader
from handler.http.request import ApiRequest
from handler.models import KnownModel
from handler.problems import ProblemKind, RequestRefused
from handler.services import Services
from handler.submit import reading
from handler.submit.options import key_of
from handler.submit.reading import Sifted
from serving import wire
from serving.contract import Manifest, Spec
from store import jobs
from store.job_tables import OnInvalid
from store.jobs import JobClosed, JobPart, PartReused, StoredPart
from store.states import Priority
from store.submissions import Submission
from telemetry import tracing

SHARE = 0.5
"""Of the backlog, what parts of jobs may fill: a file of millions of rows must not refuse everybody else."""


PATIENCE, PAUSE = 600.0, 0.5
"""Seconds that the upload of a file waits for its place in the backlog, and between two looks."""


@dataclass(frozen=True, slots=True)
class PartKey:
    """Where in its job a part stands."""

    job_id: UUID
    part: int
    first_row: int
    """Number of its first row in the file, from 1."""


_ASKED = ("kind", "model", "on_invalid", "callback_url", "filter", "task_limit")
"""What a job that is made again with its key has to have in common with the one that was made."""

Choose = Callable[[AsyncConnection, UUID], Awaitable[None]]


async def made(request: ApiRequest, services: Services, job: Mapping[str, Any], choose: Choose) -> tuple[UUID, bool]:
    """Make a job, or find the one that its Idempotency-Key stands for, and return its id and whether it was there.

    `choose` goes into the same transaction. Raises RequestRefused.
    """
    key, job_id = key_of(request), uuid7()
    wanted = {**dict.fromkeys((*_ASKED, "priority")), **job}
    async with services.engine.begin() as connection:
        values = {**wanted, "id": job_id, "client": request.caller.client, "idempotency_key": key}
        original = await jobs.make(connection, values)
        if original is None:
            await choose(connection, job_id)
            return job_id, False
    if any(getattr(original, name) != wanted[name] for name in _ASKED):
        detail = f"Idempotency-Key {key!r} was used for another job; use a new key."
        raise RequestRefused(ProblemKind.IDEMPOTENCY_KEY_REUSED, detail)
    return original.id, True


async def made_of_file(request: ApiRequest, services: Services, asked: NewJob) -> tuple[UUID, bool]:
    """Make a job of a file, which has no parts yet. Raises RequestRefused."""
    values = asked.model_dump(include={"kind", "model", "on_invalid", "callback_url"})
    return await made(request, services, {**values, "priority": Priority[asked.priority.upper()]}, _nothing)


async def _nothing(connection: AsyncConnection, job_id: UUID) -> None:
    """Choose no tasks."""


async def read_part(request: ApiRequest, bodies: BodyReader, model: KnownModel, on_invalid: str) -> Sifted:
    """Read a part's rows in any format. Raises RequestRefused, with `stop` for a row that is invalid."""
    if on_invalid == OnInvalid.COLLECT:
        return await reading.read_sifted(request, bodies, model.spec, model.manifest)
    return Sifted(await reading.read_inputs(request, bodies, model.spec, model.manifest), {})


async def sift_part(
    model: KnownModel, on_invalid: str, kind: str, content: bytes, encoding: str, first_row: int
) -> Sifted:
    """Do the same for a part that was cut out of a file."""
    use = reading.sifted if on_invalid == OnInvalid.COLLECT else _whole
    try:
        return await asyncio.to_thread(use, model.spec, model.manifest, kind, content, encoding)
    except RequestRefused as refused:
        refused.detail += f" The file is stored up to row {first_row - 1}; row {first_row} is #/0 here."
        raise


def _whole(spec: Spec, manifest: Manifest, kind: str, content: bytes, encoding: str) -> Sifted:
    return Sifted(reading.accepted(spec, manifest, kind, content, encoding), {})


async def accept_patiently(
    services: Services, job: Row[Any], model: KnownModel, place: PartKey, rows: Sifted
) -> StoredPart:
    """Do as accept_part, but wait while the backlog is full: the client of a file is held up by its own connection."""
    until = monotonic() + PATIENCE
    while True:
        try:
            return await accept_part(services, job, model, place, rows)
        except RequestRefused as refused:
            if refused.kind is not ProblemKind.BACKLOG_FULL or monotonic() > until:
                raise
        await asyncio.sleep(PAUSE)


async def accept_part(services: Services, job: Row[Any], model: KnownModel, place: PartKey, rows: Sifted) -> StoredPart:
    """Return when the part is durable. A repeated part changes nothing. Raises RequestRefused."""
    n_inputs = rows.inputs.n_inputs if rows.inputs else 0
    submission = None
    if rows.inputs is not None:
        submission = Submission(
            uuid7(),
            model.name,
            rows.inputs.payload,
            n_inputs,
            accepted_version=model.version.version,
            priority=Priority(job.priority),
            client=job.client,
            traceparent=tracing.current(),
        )
    part = JobPart(
        place.job_id,
        place.part,
        place.first_row,
        n_inputs + len(rows.rejected),
        rows.rejected,
        _fingerprint(model.spec, place, rows),
    )
    services.backlog.admit(n_inputs, SHARE)
    try:
        async with services.engine.begin() as connection:
            stored = await connection.run_sync(jobs.add_part, part, submission)
    except (JobClosed, PartReused) as error:
        services.backlog.withdraw(n_inputs)
        raise _refused(error, place) from None
    except BaseException:
        services.backlog.withdraw(n_inputs)
        raise
    if stored.transaction is None or submission is None:
        services.backlog.withdraw(n_inputs)
    else:
        services.backlog.stored(n_inputs, stored.transaction)
        services.group_commit.count_and_publish(submission, place.job_id)
    return stored


def _refused(error: JobClosed | PartReused, place: PartKey) -> RequestRefused:
    if isinstance(error, JobClosed):
        detail = f"Job {place.job_id} was closed or cancelled, and takes no more parts."
        return RequestRefused(ProblemKind.JOB_CLOSED, detail)
    detail = f"Part {place.part} of job {place.job_id} was sent with other rows before; number parts from 0 on."
    return RequestRefused(ProblemKind.PART_REUSED, detail)


def _fingerprint(spec: Spec, place: PartKey, rows: Sifted) -> bytes:
    """Return a digest of what was sent: the rows, and where in the file they stand."""
    digest = hashlib.sha256(f"{place.first_row} {sorted(rows.rejected)}".encode())
    if rows.inputs is not None:
        few = rows.inputs.n_inputs < wire.MANY  # a payload of few inputs is as the client wrote it
        digest.update(wire.canonical(spec, rows.inputs.payload) if few else rows.inputs.payload)
    return digest.digest()
