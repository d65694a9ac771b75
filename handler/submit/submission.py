"""Accepts validated inputs as a task, whichever endpoint they came by."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from handler.auth.caller import Caller
from handler.http import body
from handler.http.request import ApiRequest
from handler.models import KnownModel
from handler.problems import ProblemKind, RequestRefused
from handler.services import Services
from handler.submit.callback_url import checked
from handler.submit.options import NO_OPTIONS, Options, fingerprint, parse_options
from handler.submit.validation import Locate, ValidInputs
from store.keys import Role
from store.submissions import AcceptedTask, KeyReused, Submission
from telemetry import tracing
from telemetry.logs import TASK_ID

PROBLEMS = (
    *body.PROBLEMS,
    ProblemKind.WRONG_CONTENT_TYPE,
    ProblemKind.INVALID_JSON,
    ProblemKind.INVALID_INPUT,
    ProblemKind.TOO_MANY_INPUTS,
    ProblemKind.INVALID_CALLBACK_URL,
    ProblemKind.WEBHOOKS_OFF,
    ProblemKind.IDEMPOTENCY_KEY_REUSED,
    ProblemKind.NO_LIVE_VERSION,
)
"""What reading and accepting a submission raises."""


def requested_options(request: ApiRequest, services: Services, others: Collection[str] = ()) -> Options:
    """Return the options of a submission, before its body is read. Raises RequestRefused.

    The query may have `others` beside the options.
    """
    options, key = NO_OPTIONS, request.header(b"idempotency-key")
    if key is not None or request.scope["query_string"]:  # few have any, and validating none would cost as much
        options = parse_options(request.query_params, key, others)
    if options.callback_url is not None:
        options = replace(options, callback_url=checked(options.callback_url, services.webhooks))
    services.backlog.check()
    return options


async def accept_and_wait(
    services: Services,
    client: str | None,
    model: KnownModel,
    options: Options,
    inputs: ValidInputs,
    wait: float,
    locate: Locate,
) -> tuple[AcceptedTask, dict[str, Any]]:
    """Accept inputs, and return their task when it has ended, or after `wait` seconds. Raises RequestRefused."""
    task_id, itself = uuid7(), Caller(client, Role.SUBMIT)
    with services.notifier.subscribe(task_id) as ended:  # before anybody could end it
        accepted = await accept(services, client, model, options, inputs, task_id)
        new = None if accepted.replayed else ended
        task = await services.tasks.read(accepted.task_id, itself, wait, model=model, new=new, locate=locate)
        return accepted, task


async def accept(
    services: Services,
    client: str | None,
    model: KnownModel,
    options: Options,
    inputs: ValidInputs,
    task_id: UUID | None = None,
) -> AcceptedTask:
    """Return when the inputs are durable. Raises RequestRefused."""
    key = options.idempotency_key
    try:
        accepted = await services.group_commit.accept(
            Submission(
                task_id or uuid7(),
                model.name,
                inputs.payload,
                inputs.n_inputs,
                accepted_version=model.version.version,
                priority=options.priority,
                deadline=options.deadline,
                deadline_seconds=options.deadline_seconds,
                callback_url=options.callback_url,
                client=client,
                idempotency_key=key,
                fingerprint=None if key is None else fingerprint(model.spec, options.callback_url, inputs.payload),
                traceparent=tracing.current(),
            )
        )
        TASK_ID.set(accepted.task_id)
        return accepted
    except KeyReused:
        detail = (
            f"Idempotency-Key {key!r} was used with other inputs, another model or another callback_url; use a new key."
        )
        raise RequestRefused(ProblemKind.IDEMPOTENCY_KEY_REUSED, detail) from None
