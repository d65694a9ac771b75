"""What became of the tasks of a run: read from the platform after the load, by its own API.

It is all that a client may see, so it works on any installation; whoever else submits meanwhile is counted, too.
"""

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import uvloop

from bench.connection import LoadConnection, LoadTarget

PAGE = 1000
TIMEOUT = 30.0
POLL = 0.2


class Unreadable(Exception):
    """The target has no list of tasks that we could read."""


class Unreachable(Exception):
    """Nobody answers there."""


@dataclass(frozen=True)
class LoadTask:
    """A task as the platform tells it; times are seconds since 1970 by its clock."""

    id: str
    status: str
    n_inputs: int
    submitted: float
    started: float | None
    finished: float | None


def task_id(body: bytes) -> str | None:
    """Return the id in the answer to a submission."""
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(body)["task_id"])
    return None


def newest(target: LoadTarget) -> str | None:
    """Return the id of the newest task, or None when there is none. Raises Unreadable, Unreachable."""
    return uvloop.run(_Reader(target).newest())


def since(target: LoadTarget, marker: str | None, settle: float) -> list[LoadTask]:
    """Wait for up to `settle` seconds until nothing waits any more; return the tasks that came after the marker."""
    return uvloop.run(_Reader(target).since(marker, settle))


class _Reader:
    def __init__(self, target: LoadTarget) -> None:
        self._target = target
        self._connection = LoadConnection(target)

    async def newest(self) -> str | None:
        page = await self._page("limit=1")
        self._connection.close()
        return page[0].id if page else None

    async def since(self, marker: str | None, settle: float) -> list[LoadTask]:
        until = time.monotonic() + settle
        while time.monotonic() < until and (  # noqa: ASYNC110  there is no event to wait for
            await self._page("limit=1&status=PENDING") or await self._page("limit=1&status=STARTED")
        ):
            await asyncio.sleep(POLL)
        found: list[LoadTask] = []
        before = ""
        while page := await self._page(f"limit={PAGE}{before}"):
            new = [task for task in page if marker is None or task.id > marker]  # ids are ordered by time
            found += new
            if len(new) < len(page):
                break
            before = f"&before={page[-1].id}"
        self._connection.close()
        return found[::-1]

    async def _page(self, query: str) -> list[LoadTask]:
        answer = await self._connection.ask(self._target.get(f"/tasks?{query}"), TIMEOUT)
        if answer.status == 0:
            raise Unreachable(f"{self._target.host}:{self._target.port} does not answer: {answer.body.decode()}")
        if answer.status != 200:
            raise Unreadable(f"GET /tasks answered {answer.status}: {answer.body[:200].decode(errors='replace')}")
        return [
            LoadTask(
                task["task_id"],
                task["status"],
                task["n_inputs"],
                _seconds(task["submitted_at"]) or 0.0,
                _seconds(task["started_at"]),
                _seconds(task["finished_at"]),
            )
            for task in json.loads(answer.body)["tasks"]
        ]


def _seconds(time: str | None) -> float | None:
    return None if time is None else datetime.fromisoformat(time).timestamp()
