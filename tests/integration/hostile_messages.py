"""Messages that somebody else than our publisher could put into a queue, each a mutation of a genuine one."""

import json
import pickle
from base64 import b64encode
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

QUEUE = "score.report_scorer"
ORDINARY = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def genuine(task_ids: object, *, task: str = QUEUE) -> dict[str, Any]:
    """A message as the publisher writes it."""
    task_id = str(uuid4())
    return {
        "body": _encoded([[], {"task_ids": task_ids}, ORDINARY]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": task,
            "id": task_id,
            "root_id": task_id,
            "retries": 0,
            "timelimit": [65, 60],
            "argsrepr": "()",
            "kwargsrepr": "{}",
            "origin": "gen1@somewhere",
            "stamps": {},
        },
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "priority": 1,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }


class Exploit:
    """Creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._file,)


def pickled(file: Path) -> list[dict[str, Any]]:
    """Messages that would create the file, if anybody unpickled one."""
    program = pickle.dumps([[], {"task_ids": Exploit(file)}, ORDINARY])
    return [
        genuine([]) | {"body": b64encode(program).decode(), "content-type": kind, "content-encoding": encoding}
        for kind in ("application/x-python-serialize", "pickle", "application/json", "application/data")
        for encoding in ("binary", "utf-8")
    ]


def malformed() -> dict[str, bytes]:
    """Everything else, by what is wrong with it."""
    some = [str(uuid4())]
    messages: dict[str, Any] = {
        "a number": 5,
        "null": None,
        "a list": [genuine(some)],
        "an empty object": {},
        "an unknown task": genuine(some, task="score.nobody"),
        "a task of Celery's own": genuine(some, task="celery.backend_cleanup"),
        "ids that are not a list": genuine("all"),
        "no ids": genuine([]),
        "ids that are no UUIDs": genuine(["1", "'; DROP TABLE tasks; --"]),
        "ids that are numbers": genuine([1, 2]),
        "other arguments": genuine(some) | {"body": _encoded([[], {"ids": some}, ORDINARY])},
        "positional arguments": genuine(some) | {"body": _encoded([[some], {}, ORDINARY])},
        "a callback": genuine(some) | {"body": _encoded([[], {"task_ids": some}, {"callbacks": [{"task": "x"}]}])},
        "more ids than a chunk has": genuine([str(UUID(int=number)) for number in range(100_000)]),
        "a body of two": genuine(some) | {"body": _encoded([[], {}])},
        "a body that is not JSON": genuine(some) | {"body": b64encode(b"{").decode()},
        "a body that is not base64": genuine(some) | {"body": "!!!"},
        "a body that is deep": genuine(some) | {"body": b64encode(b"[" * 100_000).decode()},
        "a body that is a number": genuine(some) | {"body": 5},
    }
    for part in ("body", "headers", "properties", "content-type"):
        messages[f"no {part}"] = {name: value for name, value in genuine(some).items() if name != part}
        messages[f"{part} null"] = genuine(some) | {part: None}
    for part, name, value in (
        ("headers", "task", ["score.report_scorer"]),
        ("headers", "task", None),
        ("headers", "id", {}),
        ("headers", "id", None),
        ("headers", "eta", "tomorrow"),
        ("headers", "eta", "2999-01-01T00:00:00"),
        ("headers", "eta", 5),
        ("headers", "expires", "yesterday"),
        ("headers", "timelimit", "soon"),
        ("headers", "timelimit", [-1, -1]),
        ("headers", "retries", "many"),
        ("headers", "compression", "gzip"),
        ("headers", "shadow", {}),
        ("headers", "chord", {"task": "x"}),
        ("headers", "stamped_headers", 5),
        ("properties", "delivery_tag", None),
        ("properties", "delivery_tag", []),
        ("properties", "delivery_info", None),
        ("properties", "delivery_info", "here"),
        ("properties", "body_encoding", "gzip"),
        ("properties", "body_encoding", None),
        ("properties", "priority", "first"),
        ("properties", "priority", 3),
        ("properties", "lane", "front"),
        ("properties", "lane", 4),
        ("properties", "lane", -1),
        ("properties", "inputs", 0),
        ("properties", "inputs", []),
    ):
        messages[f"{part}: {name} {value!r}"] = message = deepcopy(genuine(some))
        message[part][name] = value
    raw = {
        "nothing": b"",
        "no JSON": b"hello",
        "no text": b"\xff\xfe\x00",
        "half a message": json.dumps(genuine(some)).encode()[:200],
        "a deep list": b"[" * 100_000,
        "a type of kombu's": b'{"__type__": "uuid", "__value__": 5}',
    }
    return {**raw, **{what: json.dumps(message).encode() for what, message in messages.items()}}


def _encoded(body: object) -> str:
    return b64encode(json.dumps(body).encode()).decode()
