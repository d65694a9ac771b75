"""Takes a validated payload in, whichever endpoint it came by."""

from typing import Any
from uuid import UUID

from fastapi import Request
from uuid_utils.compat import uuid7

from handler import options
from handler.callbacks import checked
from handler.options import Options
from handler.parsing import Taken
from handler.problems import Refused
from handler.reading import read
from handler.services import Services
from models.contract import Spec
from store.accepting import Accepted, KeyReused, Submission
from telemetry import tracing
from telemetry.logs import TASK_ID


def wishes(request: Request, services: Services) -> Options:
    """Read what the client asks for beside the inputs, before the body is looked at. Raises Refused."""
    wanted = options.read(request)
    if wanted.callback_url is not None:
        checked(wanted.callback_url, services.webhooks)
    services.backlog.look()
    return wanted


async def accept_and_read(
    services: Services, client: str | None, spec: Spec, wanted: Options, taken: Taken, wait: float
) -> tuple[Accepted, dict[str, Any]]:
    """Take a payload in, and return its task when it has ended, or after `wait` seconds. Raises Refused."""
    task_id = uuid7()
    with services.waiters.interest(task_id) as ended:  # before anybody could end it
        accepted = await accept(services, client, spec, wanted, taken, task_id)
        # What is new need not be looked at before somebody says that it has ended.
        new = None if accepted.replayed else ended
        return accepted, await read(services, accepted.task_id, client, wait, spec=spec, new=new)


async def accept(
    services: Services, client: str | None, spec: Spec, wanted: Options, taken: Taken, task_id: UUID | None = None
) -> Accepted:
    """Return when the payload is durable. Raises Refused."""
    payload, n_inputs = taken
    services.backlog.admit(n_inputs)
    key = wanted.idempotency_key
    try:
        accepted = await services.intake.accept(
            Submission(
                task_id or uuid7(),
                spec.name,
                payload,
                n_inputs,
                priority=wanted.priority,
                deadline=wanted.deadline,
                deadline_seconds=wanted.deadline_seconds,
                callback_url=wanted.callback_url,
                client=client,
                idempotency_key=key,
                fingerprint=None if key is None else options.fingerprint(spec.name, wanted.callback_url, payload),
                traceparent=tracing.current(),
            )
        )
        TASK_ID.set(accepted.task_id)
        return accepted
    except KeyReused:
        detail = f"Idempotency-Key {key!r} came with another body or callback_url before; use a new key."
        raise Refused(422, "idempotency-key-reused", detail) from None
