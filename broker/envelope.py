"""What a message looks like in Redis, checked before anything acts on it.

Celery trusts what it takes from a queue: a header of the wrong type ends the whole worker, and some (callbacks,
an expiry, another task's name) are orders. Only what our publisher writes is let through, field by field.
"""

from base64 import b64decode
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

Seconds = Annotated[int, msgspec.Meta(gt=0)]


class _Headers(msgspec.Struct, forbid_unknown_fields=True):
    task: str
    id: UUID
    root_id: UUID
    timelimit: tuple[Seconds, Seconds]
    kwargsrepr: str
    argsrepr: Literal["()"]
    retries: Literal[0]
    lang: Literal["py"]
    origin: str
    parent_id: None = None
    shadow: None = None
    eta: None = None
    expires: None = None
    group: None = None
    group_index: None = None
    ignore_result: bool | None = None
    replaced_task_nesting: Literal[0] = 0
    stamped_headers: None = None
    stamps: dict[None, None] = {}
    redelivered: bool = False
    traceparent: str = ""
    tracestate: str = ""


class _Properties(msgspec.Struct):
    delivery_tag: UUID
    delivery_info: dict[str, str | bool]
    body_encoding: Literal["base64"]
    priority: int


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    body: str
    headers: _Headers
    properties: _Properties
    content_type: Literal["application/json"] = msgspec.field(name="content-type")
    content_encoding: Literal["utf-8"] = msgspec.field(name="content-encoding")


class _Arguments(msgspec.Struct, forbid_unknown_fields=True):
    task_ids: Annotated[list[UUID], msgspec.Meta(min_length=1)]


class _Orders(msgspec.Struct, forbid_unknown_fields=True):
    """What Celery is to do afterwards: nothing."""

    callbacks: None = None
    errbacks: None = None
    chain: None = None
    chord: None = None


def fault(message: Any, queue: str) -> str | None:
    """Say what is wrong with a message that came from this queue; None: nothing."""
    try:
        envelope = msgspec.convert(message, _Envelope)
        body = b64decode(envelope.body, validate=True)
        msgspec.json.decode(body, type=tuple[tuple[()], _Arguments, _Orders])
    except (ValueError, RecursionError) as error:
        return str(error)
    task = envelope.headers.task
    return None if task == queue else f"it is for {task!r}"
