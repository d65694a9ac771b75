"""The message: the ids of the tasks that a model is to score. The inputs stay in PostgreSQL.

The handler writes a message as Celery would, in a twentieth of the 0.4 ms that Celery takes. A worker checks it before
anything acts on it, for Celery trusts what it takes from a queue: a header of the wrong type ends the whole worker, and
some (callbacks, an expiry, another task's name) are orders. The check passes only what our publisher writes.
"""

import os
import socket
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import msgspec

MAX_TASKS = 256
"""Tasks in a chunk: from about here on a larger chunk no longer makes a task cheaper."""

Bounds = Callable[[str], tuple[int, int]]
"""Gives, by the model's name, how many inputs a chunk may have, unless one task alone has more, and the seconds that
scoring it may take."""


QUEUES = "score."
"""What the name of every queue begins with."""


def queue_of(model: str) -> str:
    """Return the name of a model's queue, which is also the name of the Celery task that takes from it.

    Flower lists, counts and filters by this name. It is a plain queue: an explicit exchange would lose its
    bindings with Redis's data.
    """
    return QUEUES + model


PRIORITIES = (0, 1, 2)
"""High, normal, low: Redis holds a list for each, and workers empty the first of all models before they look at the
next."""


def list_of(model: str, priority: int) -> str:
    """Return the name of Redis's list, which kombu derives from the queue's."""
    return f"{queue_of(model)}\x06\x16{priority}" if priority else queue_of(model)


Task = tuple[UUID, str, int, int]
"""A task to be published: its id, model, number of inputs, priority."""


def messages(tasks: Iterable[Task], bounds: Bounds, *, alone: bool) -> Iterator[tuple[str, int, list[UUID]]]:
    """Group tasks into messages (model, priority, chunk), or each `alone`."""
    queue = itemgetter(1, 3)
    for (model, priority), group in groupby(sorted(tasks, key=queue), key=queue):
        pairs = [(task_id, n_inputs) for task_id, _, n_inputs, _ in group]
        for chunk in [[task_id] for task_id, _ in pairs] if alone else chunks(pairs, bounds(model)[0]):
            yield model, priority, chunk


def chunks(tasks: Iterable[tuple[UUID, int]], max_inputs: int) -> Iterator[list[UUID]]:
    """Split (task id, number of inputs) pairs of one model into chunks, in their order."""
    chunk: list[UUID] = []
    inputs = 0
    for task_id, n_inputs in tasks:
        if chunk and (len(chunk) == MAX_TASKS or inputs + n_inputs > max_inputs):
            yield chunk
            chunk, inputs = [], 0
        chunk.append(task_id)
        inputs += n_inputs
    if chunk:
        yield chunk


KILL = 5
"""Seconds after its time limit at which the process is killed that could not be interrupted."""

_NOTHING = dict.fromkeys(("shadow", "eta", "expires", "group", "group_index", "parent_id", "ignore_result"))
_NO_ORDERS = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))


def write(queue: str, priority: int, task_ids: Sequence[UUID], time_limit: int) -> bytes:
    """Return a message for these tasks; scoring them is interrupted after `time_limit` seconds."""
    ids = list(map(str, task_ids))
    message_id = ids[0] if len(ids) == 1 else str(uuid4())  # Flower finds it by the task's id, if it carries only one
    headers: dict[str, Any] = {
        **_NOTHING,
        "lang": "py",
        "task": queue,
        "id": message_id,
        "root_id": message_id,
        "retries": 0,
        "timelimit": (time_limit + KILL, time_limit),
        "argsrepr": "()",
        "kwargsrepr": f"task_ids: {', '.join(ids)}",  # for Flower: all of them, uncut
        "origin": f"{os.getpid()}@{socket.gethostname()}",
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    properties = {
        "correlation_id": message_id,
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": priority,
        "body_encoding": "base64",
        "delivery_tag": str(uuid4()),
    }
    envelope = {
        "body": b64encode(msgspec.json.encode(((), {"task_ids": ids}, _NO_ORDERS))).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": properties,
    }
    return msgspec.json.encode(envelope)


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
    task_ids: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=MAX_TASKS)]


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
