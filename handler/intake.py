"""Accepts submissions: all that wait at one moment are committed together, then published as chunks.

A client is answered after its commit and before any publishing, so Redis can neither delay nor refuse it.
There is no timer: while one group commits, the next one gathers, and an idle system answers at once. Only where
messages enough wait already is the next chunk held back, to grow: nobody would take it yet.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.broker import Sender
from broker.message import MAX_TASKS
from handler.meters import Meters
from store import accepting
from store.accepting import Accepted, Submission
from store.claims import WaitingTask
from store.engine import single
from telemetry import tracing

log = structlog.get_logger(__name__)

T = TypeVar("T")

MAX_GROUP = 256
MAX_GROUP_BYTES = 32 * 2**20
"""Bounds of one commit: what waits beyond them is in the next one."""

ENOUGH = 4
"""Messages that keep the workers busy while the next chunk grows."""

HOLD = 0.01
"""Seconds between two looks at whether the workers are about to run out of messages."""

LULL = 0.05
"""Seconds without a publish after which nobody need look: an idle system's queue is empty."""

DRAIN = 5
"""Seconds that a stopping handler spends on publishing what it has accepted; rescue publishes the rest."""


class Intake:
    def __init__(self, engine: AsyncEngine, sender: Sender, meters: Meters) -> None:
        self._engine = single(engine)
        self._sender = sender
        self._meters = meters
        self._waiting: list[tuple[Submission, asyncio.Future[Accepted]]] = []
        self._accepted: list[WaitingTask] = []
        self._published_at = -LULL
        self._arrived = asyncio.Event()
        self._committed = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="publish")

    async def accept(self, submission: Submission) -> Accepted:
        """Return when the submission is durable.

        Raises accepting.KeyReused, or what PostgreSQL raised when it could not store it.
        """
        stored: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._waiting.append((submission, stored))
        self._arrived.set()
        return await stored

    def publish_soon(self, task: WaitingTask) -> None:
        self._accepted.append(task)
        self._committed.set()

    async def run(self) -> None:
        """Commit and publish until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._commit_groups())
            group.create_task(self._publish_groups())

    async def drain(self) -> None:
        """Publish what is accepted and still unpublished, within a bounded time. Call it after `run` has ended."""
        try:
            async with asyncio.timeout(DRAIN):
                await self._publish(self._accepted)
        except TimeoutError:
            log.warning("publish_abandoned", tasks=len(self._accepted))
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _commit_groups(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                size = _group_size(submission for submission, _ in self._waiting)
                group, self._waiting = self._waiting[:size], self._waiting[size:]
                await self._commit(group)

    async def _commit(self, group: Sequence[tuple[Submission, asyncio.Future[Accepted]]]) -> None:
        submissions = [submission for submission, _ in group]
        try:
            traced = tracing.joined("commit", (s.traceparent for s in submissions), tasks=len(submissions))
            with traced, self._meters.commit_seconds.time():
                async with self._engine.connect() as connection:
                    new = await accepting.insert(connection, submissions)
        except Exception as error:
            if len(group) > 1 and isinstance(error, DBAPIError) and not error.connection_invalidated:
                for one in group:  # whichever could not be stored must not fail its neighbours
                    await self._commit([one])
                return
            for _, stored in group:
                if not stored.done():
                    stored.set_exception(error)
            return
        self._meters.commit_tasks.observe(len(group))
        for s, stored in group:
            if s.task_id in new:
                self._meters.accept(s)
                self.publish_soon(WaitingTask(s.task_id, s.model, s.n_inputs, s.priority))
                if not stored.done():  # a client that has gone away has cancelled its own
                    stored.set_result(Accepted(s.task_id))
        if len(new) < len(group):
            for s, stored in group:
                if s.task_id not in new:
                    await self._find_first(s, stored)
        log.debug("tasks_accepted", tasks=len(new))

    async def _find_first(self, submission: Submission, stored: asyncio.Future[Accepted]) -> None:
        try:
            async with self._engine.connect() as connection:
                first = await accepting.first(connection, submission)
        except Exception as error:
            if not stored.done():
                stored.set_exception(error)
        else:
            if not stored.done():
                stored.set_result(first)

    async def _publish_groups(self) -> None:
        while True:
            await self._committed.wait()
            self._committed.clear()
            while len(self._accepted) < MAX_TASKS and await self._can_wait():  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(HOLD)
            group, self._accepted = self._accepted, []
            await self._publish(group)

    async def _can_wait(self) -> bool:
        """Return whether messages enough lie before those of the accepted tasks."""
        if asyncio.get_running_loop().time() - self._published_at > LULL:
            return False
        queues = {(task.model, task.priority) for task in self._accepted}
        if len(queues) != 1:  # rare under a load that makes chunks worth growing
            return False
        ((model, priority),) = queues
        try:
            waiting = await self._in_thread(self._sender.waiting, model)
        except Exception as error:  # whatever it was: publishing goes on, and says itself whether it can
            log.warning("queue_unknown", model=model, error=str(error))
            return False
        return waiting[priority] >= ENOUGH

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    async def _publish(self, group: Sequence[WaitingTask]) -> None:
        try:
            await self._in_thread(self._sender.publish, group)
        except Exception as error:  # whatever it was: they are durable, rescue publishes them, and accepting goes on
            self._meters.publish_failures.inc()
            log.warning("publish_failed", tasks=len(group), error=str(error))
        self._published_at = asyncio.get_running_loop().time()


def _group_size(submissions: Iterable[Submission]) -> int:
    """Return how many of the first submissions go into one commit; at least one."""
    size = total = 0
    for submission in submissions:
        total += len(submission.payload)
        if size == MAX_GROUP or (size and total > MAX_GROUP_BYTES):
            break
        size += 1
    return size
