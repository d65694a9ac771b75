"""The message: the ids of the tasks that a model is to score. The inputs stay in PostgreSQL.

The handler writes a message as Celery would, in a twentieth of the 0.4 ms that Celery takes. A worker checks it before
anything acts on it, for Celery trusts what it takes from a queue: a header of the wrong type ends the whole worker, and
some (callbacks, an expiry, another task's name) are orders. The check passes only what our publisher writes.
"""

import os
import socket
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple
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
"""High, normal, low: workers empty the first of all models before they look at the next."""

LANES = 4
"""Lists that each priority of a model has in Redis. The first, the front, is for clients of which little waits, the
others are for those of which much does; workers take from them in turns (lanes.py)."""


class Lane(NamedTuple):
    """One of the lists of a model."""

    priority: int
    number: int = 0


ALL_LANES = tuple(Lane(priority, number) for priority in PRIORITIES for number in range(LANES))


def list_of(model: str, priority: int, lane: int = 0) -> str:
    """Return the name of Redis's list. Celery knows the first of each priority, and by the same name."""
    suffix = priority + 10 * lane
    return f"{queue_of(model)}\x06\x16{suffix}" if suffix else queue_of(model)


def lists_of(model: str) -> list[str]:
    """Return the names of all lists of a model, in the order of ALL_LANES."""
    return [list_of(model, *lane) for lane in ALL_LANES]


class QueuedTask(NamedTuple):
    """A task to be published."""

    task_id: UUID
    model: str
    n_inputs: int
    priority: int
    lane: int = 0

    @property
    def place(self) -> tuple[str, Lane]:
        """Model and lane."""
        return self.model, Lane(self.priority, self.lane)


class Chunk(NamedTuple):
    """The tasks of one message, and how many inputs they have."""

    task_ids: list[UUID]
    inputs: int


def messages(tasks: Iterable[QueuedTask], bounds: Bounds, *, alone: bool) -> Iterator[tuple[str, Lane, Chunk]]:
    """Group tasks into messages (model, lane, chunk), or each `alone`."""
    queue = attrgetter("model", "priority", "lane")
    for (model, priority, lane), group in groupby(sorted(tasks, key=queue), key=queue):
        pairs = [(task.task_id, task.n_inputs) for task in group]
        for chunk in [Chunk([task_id], n) for task_id, n in pairs] if alone else chunks(pairs, bounds(model)[0]):
            yield model, Lane(priority, lane), chunk


def chunks(tasks: Iterable[tuple[UUID, int]], max_inputs: int) -> Iterator[Chunk]:
    """Split (task id, number of inputs) pairs of one model into chunks, in their order."""
    chunk: list[UUID] = []
    inputs = 0
    for task_id, n_inputs in tasks:
        if chunk and (len(chunk) == MAX_TASKS or inputs + n_inputs > max_inputs):
            yield Chunk(chunk, inputs)
            chunk, inputs = [], 0
        chunk.append(task_id)
        inputs += n_inputs
    if chunk:
        yield Chunk(chunk, inputs)


KILL = 5
"""Seconds after its time limit at which the process is killed that could not be interrupted."""

_NOTHING = dict.fromkeys(("shadow", "eta", "expires", "group", "group_index", "parent_id", "ignore_result"))
_NO_ORDERS = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))


def write(queue: str, lane: Lane, chunk: Chunk, time_limit: int) -> bytes:
    """Return a message for these tasks; scoring them is interrupted after `time_limit` seconds."""
    ids = list(map(str, chunk.task_ids))
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
        "priority": lane.priority,
        "lane": lane.number,
        "inputs": chunk.inputs,
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
    priority: Annotated[int, msgspec.Meta(ge=0, lt=len(PRIORITIES))]
    lane: Annotated[int, msgspec.Meta(ge=0, lt=LANES)] = 0
    inputs: Annotated[int, msgspec.Meta(gt=0)] = 1


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
        _body(envelope)
    except (ValueError, RecursionError) as error:
        return str(error)
    task = envelope.headers.task
    return None if task == queue else f"it is for {task!r}"


def ids_in(message: bytes) -> tuple[UUID, ...]:
    """Return the ids of a message's tasks; none, if our publisher did not write it."""
    try:
        return tuple(_body(msgspec.json.decode(message, type=_Envelope)).task_ids)
    except (ValueError, RecursionError):
        return ()


def _body(envelope: _Envelope) -> _Arguments:
    body = b64decode(envelope.body, validate=True)
    return msgspec.json.decode(body, type=tuple[tuple[()], _Arguments, _Orders])[1]
