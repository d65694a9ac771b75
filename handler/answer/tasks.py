"""Reads tasks from PostgreSQL, at once or when they have ended, and wakes the requests that wait for that."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Row
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import ClientDisconnect

from broker.address import explain, in_public
from broker.broker import AnnounceFailed, Broker
from handler.auth.caller import Caller
from handler.models import KnownModel, KnownModels, answered_fields
from handler.pointer import pointer
from handler.problems import ProblemKind, RequestRefused
from handler.submit.validation import Locate, locate_in_array
from store import predictions, tasks
from store.address import CONNECT_TIMEOUT
from store.engine import single
from store.states import FINAL, Status

log = structlog.get_logger(__name__)

RECONNECT = 1
"""Seconds between two attempts to listen."""


class Disconnect:
    """Whether the client of a connection has hung up; it wakes the requests that wait on the connection."""

    def __init__(self) -> None:
        self.happened = False
        self.events: set[asyncio.Event] = set()

    def happen(self) -> None:
        self.happened = True
        for event in self.events:
            event.set()


DISCONNECT: ContextVar[Disconnect | None] = ContextVar("disconnect", default=None)
"""The connection sets it for each request. Asking ASGI's `receive` would take a task for each that waits."""


class TaskNotifier:
    """Wakes the requests that wait for a task to end: one subscription for all of them, no polling."""

    def __init__(self, broker: Broker, heard: Callable[[list[str]], None]) -> None:
        """Also tell `heard` which tasks have ended."""
        self._broker = broker
        self._heard = heard
        self._events: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._announcing: set[asyncio.Task[None]] = set()
        self.closed = False
        self.fault: str | None = "nobody has answered yet"
        """Why nothing is heard: what is wrong with Redis. None: nothing."""

    @contextmanager
    def subscribe(self, task_id: UUID) -> Iterator[asyncio.Event]:
        """Give an event that is set when the task may have ended, or nobody waits for it any more.

        Read the task after this, not before.
        """
        event, name = asyncio.Event(), str(task_id)
        on_disconnect = disconnect.events if (disconnect := DISCONNECT.get()) else set()
        self._events[name].add(event)
        on_disconnect.add(event)
        try:
            yield event
        finally:
            on_disconnect.discard(event)
            self._events[name].discard(event)
            if not self._events[name]:
                del self._events[name]

    def notify(self, task_id: UUID) -> None:
        """Wake who waits for a task, here and in the other handlers, as this handler has ended it."""
        self._wake([str(task_id)])
        announcing = asyncio.create_task(asyncio.to_thread(self._announce, task_id))
        self._announcing.add(announcing)
        announcing.add_done_callback(self._announcing.discard)

    def close(self) -> None:
        """Let every waiting request answer now, with the task as it stands: this handler is about to stop."""
        self.closed = True
        self._wake(list(self._events))

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                async for ended in self._broker.listen():
                    self.fault = None
                    self._heard(ended)
                    # Once listening has begun (anew), everyone looks again: what ended before was not heard.
                    self._wake(ended or list(self._events))
            except Exception as error:  # Redis is away, or somebody else spoke: listening must go on
                self.fault = in_public(error)
                log.warning("not_listening", error=explain(error))
            await asyncio.sleep(RECONNECT)

    def _wake(self, task_ids: list[str]) -> None:
        for task_id in task_ids if self._events else ():
            for event in self._events.get(task_id, ()):
                event.set()

    def _announce(self, task_id: UUID) -> None:
        try:
            self._broker.announce([task_id])
        except AnnounceFailed as error:
            log.warning("announce_failed", error=str(error))


class TaskReader:
    def __init__(self, engine: AsyncEngine, connections: int, models: KnownModels, notifier: TaskNotifier) -> None:
        """Read at most as many tasks at once as the engine has connections."""
        self._engine = single(engine)
        self._reading = asyncio.Semaphore(connections)
        self._models = models
        self._notifier = notifier

    async def read(
        self,
        task_id: UUID,
        caller: Caller,
        wait: float = 0,
        *,
        model: KnownModel | None = None,
        new: asyncio.Event | None = None,
        locate: Locate = locate_in_array,
    ) -> dict[str, Any]:
        """Return what the caller may see of a task when it has ended, at the latest after `wait` seconds.

        Give the `model` where it is known: that saves a round trip. A `new` task is not read before this event is set.
        `locate` says where the client finds an input that is at fault. Raises RequestRefused.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + wait
        disconnect = DISCONNECT.get() or Disconnect()
        with self._notifier.subscribe(task_id) as ended:
            if new is not None and not self._notifier.closed and not disconnect.happened:
                await _wait_for(new, until)
            while True:
                ended.clear()
                async with self._turn(until):
                    if disconnect.happened:
                        raise ClientDisconnect
                    task = await self._read(task_id, caller, model, locate)
                if task["status"] in FINAL or clock() >= until or self._notifier.closed:
                    return task
                await _wait_for(ended, until)

    async def read_summary(self, task_id: UUID, caller: Caller) -> dict[str, Any]:
        """Return a task's own columns as the caller may see them, without what was scored. Raises RequestRefused."""
        async with self._turn(0), self._engine.connect() as connection:
            row = await tasks.fetch(connection, task_id, caller.confined_to)
        if row is None:
            raise _unknown(task_id)
        return summary(row, caller)

    @asynccontextmanager
    async def _turn(self, until: float) -> AsyncIterator[None]:
        """Queue for a connection: a thousand tasks may end at one moment, and those who wait for them have time.

        Raises PoolTimeout.
        """
        try:
            async with asyncio.timeout_at(max(until, asyncio.get_running_loop().time() + CONNECT_TIMEOUT)):
                await self._reading.acquire()
        except TimeoutError:
            raise PoolTimeout("too many tasks are read at once") from None
        try:
            yield
        finally:
            self._reading.release()

    async def _read(self, task_id: UUID, caller: Caller, guess: KnownModel | None, locate: Locate) -> dict[str, Any]:
        lists = guess.lists if guess is not None else None
        async with self._engine.connect() as connection:
            row = await tasks.fetch(connection, task_id, caller.confined_to, lists)
            if row is None:
                raise _unknown(task_id)
            task = summary(row, caller, locate)
            if row.status == Status.SUCCESS:
                model = guess or await self._models.found(row.model)
                if model is None:  # of another release: its predictions are in SQL only
                    return task
                spec = model.spec
                names = list(answered_fields(spec))
                values: Sequence[Any] = row[tasks.SUMMARY :]
                if lists is None:
                    values = await predictions.fetch_columns(connection, model.table, task_id, names)
                found = dict(zip(names, values, strict=True))
                if spec.key and not any(value is not None for value in found[spec.key]):
                    del found[spec.key]  # the client gave none
                if caller.masked:
                    hidden = [name for name in found if name == spec.key or name in spec.personal]
                    task["masked"] = [spec.public_names[name] for name in hidden]
                    found = {name: column for name, column in found.items() if name not in hidden}
                task |= {spec.public_names[name]: column for name, column in found.items()}
            return task


def _unknown(task_id: UUID) -> RequestRefused:
    return RequestRefused(ProblemKind.UNKNOWN_TASK, f"Unknown task {task_id}: no task of yours has this id.")


async def _wait_for(event: asyncio.Event, until: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await event.wait()


HIDDEN = "Not shown to a key of this role"


def summary(row: Row[Any], caller: Caller, locate: Locate = locate_in_array) -> dict[str, Any]:
    """Return a task's own columns as the caller may see them, in the words of the API."""
    task: dict[str, Any] = dict(zip(row._fields, row[: tasks.SUMMARY], strict=False))
    if faults := task.pop("faults"):
        places = [pointer(locate(fault["position"], (fault["field"],))) for fault in faults]
        task["errors"] = [{"detail": f["detail"], "pointer": p} for f, p in zip(faults, places, strict=True)]
    if not caller.sees_clients:
        del task["client"]
    if caller.masked:
        _mask_errors(task)
    return task


def masked_error(error: str) -> str:
    return error.partition(":")[0]


def _mask_errors(task: dict[str, Any]) -> None:
    """Keep of what went wrong the kind and the places: after a colon, and in details, an error may quote an input."""
    if task["error"] is not None:
        task["error"] = masked_error(task["error"])
    for error in task.get("errors", ()):
        error["detail"] = HIDDEN
