"""One request and its response, repeated until it succeeds or the deadline passes; nothing here opens a connection.

An operation is a generator: it yields what is to be done, and is sent what came of it. `Client` and `AsyncClient` drive
the same operations, each in its own way.
"""

import json
import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, TypeAlias, TypeVar

from millrace_client.errors import MillraceError, ServerUnavailable, api_error

RETRIED = frozenset({429, 502, 503, 504})
"""The statuses of a server that may answer otherwise in a moment."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds before the first and the later repetitions, where the server names none. Each is cut by up to a half."""

SLOWEST = 70.0
"""Seconds for one response: a request that waits for a task is held for up to 60."""

NOT_SCORED_YET = "not-scored-yet"


@dataclass(frozen=True, slots=True)
class Call:
    """A request."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    timeout: float = SLOWEST


@dataclass(frozen=True, slots=True)
class Pause:
    """Time to let pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """A response; `status` 0: there was none, and `content` says why."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


T = TypeVar("T")
Operation: TypeAlias = Generator["Call | Pause", "Reply | None", T]


class Deadline:
    """When to give up, counted from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = monotonic() + seconds

    @property
    def left(self) -> float:
        return self._until - monotonic()


def exchange(call: Call, deadline: Deadline) -> Operation[Reply]:
    """Send a request until it is answered. Raises ApiError, ServerUnavailable.

    Only requests that can be repeated without harm may come here: those that submit carry an idempotency key.
    """
    attempt = 0
    while True:
        reply = yield replace(call, timeout=max(0.1, min(call.timeout, deadline.left)))
        assert reply is not None  # noqa: S101
        if 200 <= reply.status < 300:
            if "json" not in reply.headers.get("content-type", ""):
                raise MillraceError(f"{call.path} was answered by something else than Millrace; check the address")
            return reply
        if reply.status and (reply.status not in RETRIED or _kind(reply) == NOT_SCORED_YET):
            raise api_error(reply.status, _problem(reply))
        pause = _pause(reply, attempt)
        if pause > deadline.left:
            raise ServerUnavailable(
                f"{call.method} {call.path}: {_reason(reply)}; gave up after {deadline.seconds:g} s"
            )
        yield Pause(pause)
        attempt += 1


def _pause(reply: Reply, attempt: int) -> float:
    asked = reply.headers.get("retry-after", "")
    if asked.isascii() and asked.isdigit():
        return float(asked) + random.random()  # noqa: S311 - so that not all come back at one moment
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 10)) * (1 - random.random() / 2))  # noqa: S311


def _problem(reply: Reply) -> Any:
    try:
        return reply.json()
    except ValueError:
        return {"detail": f"HTTP {reply.status}: {reply.content[:200].decode(errors='replace')}"}


def _kind(reply: Reply) -> str:
    problem = _problem(reply)
    return str(problem.get("type", "")).rpartition(":")[2] if isinstance(problem, dict) else ""


def _reason(reply: Reply) -> str:
    if not reply.status:
        return reply.content.decode(errors="replace")
    return str(_problem(reply).get("detail") or f"HTTP {reply.status}")
