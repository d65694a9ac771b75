"""Commits all submissions that wait at one moment together, then publishes them as chunks.

A client gets its response after the commit and before any publishing, so Redis can neither delay nor refuse it.
Submissions that repeat an idempotency key are looked up beside the commits, so that a storm of retries delays nobody
else. There is no timer: while one group commits, the next one gathers, and an idle system answers at once. If enough
messages wait already in a lane, its next chunk is held back to grow, as no worker would take it yet.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Histogram
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.address import in_public
from broker.broker import Sender
from broker.lanes import ClientLanes, Sharer
from broker.message import MAX_TASKS, Lane, QueuedTask
from handler.submit.backlog import Backlog
from store import outage
from store.engine import single
from store.states import Priority
from store.submissions import AcceptedTask, Submission, accept, originals
from telemetry import tracing

log = structlog.get_logger(__name__)

T = TypeVar("T")

MAX_GROUP = 256
MAX_GROUP_BYTES = 32 * 2**20
"""Bounds of one commit. What waits beyond them is in the next one."""

ENOUGH = 4
"""So many messages keep the workers busy while the next chunk grows."""

HOLD = 0.01
"""Seconds between two checks whether the workers are about to run out of messages."""

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds in seconds of the histogram of commits."""

DRAIN = 5
"""Seconds that a stopping handler spends on publishing what it has accepted; rescue publishes the rest."""

_Pending = tuple[Submission, asyncio.Future[AcceptedTask]]


class GroupCommit:
    def __init__(
        self,
        commits: AsyncEngine,
        reads: AsyncEngine,
        backlog: Backlog,
        sender: Sender,
        lanes: ClientLanes,
        registry: CollectorRegistry,
    ) -> None:
        self._commits = single(commits)
        self._reads = single(reads)
        self._backlog = backlog
        self._sender = sender
        self.accepted_tasks: Counter[tuple[str, Priority]] = Counter()
        self.accepted_inputs: Counter[tuple[str, Priority]] = Counter()
        self._commit_seconds = Histogram(
            "millrace_commit_duration_seconds", "Of a group of submissions", buckets=BUCKETS, registry=registry
        )
        self._commit_tasks = Histogram(
            "millrace_commit_tasks", "Submissions in a commit", buckets=(1, 4, 16, 64, 256), registry=registry
        )
        self.publish_failures = 0
        self._waiting: list[_Pending] = []
        self._repeated: list[_Pending] = []
        self.last_publish_failure: tuple[float, str] | None = None
        """When the latest publish failed (time.monotonic), and why; None: the latest succeeded."""
        self._accepted: defaultdict[tuple[str, Lane], list[QueuedTask]] = defaultdict(list)
        self._queued: dict[tuple[str, Lane], int] = {}
        """Messages that waited in each lane when it was last looked at. Redis is asked again only if many."""
        self._lanes = lanes
        self._arrived = asyncio.Event()
        self._conflicted = asyncio.Event()
        self._committed = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="publish")

    async def accept(self, submission: Submission) -> AcceptedTask:
        """Return when the submission is durable.

        Raises KeyReused, RequestRefused when the backlog is full, or what PostgreSQL raised.
        """
        self._backlog.admit(submission.n_inputs)
        stored: asyncio.Future[AcceptedTask] = asyncio.get_running_loop().create_future()
        self._queue(submission, stored)
        return await stored

    def _queue(self, submission: Submission, stored: asyncio.Future[AcceptedTask]) -> None:
        self._waiting.append((submission, stored))
        self._arrived.set()

    def count_and_publish(self, submission: Submission, job: UUID | None = None) -> None:
        """Publish a task that is stored, and may be a part of a job."""
        s = submission
        self.accepted_tasks[s.model, s.priority] += 1
        self.accepted_inputs[s.model, s.priority] += s.n_inputs
        self.publish_soon(s.task_id, Sharer(s.model, s.priority, s.client, job), s.n_inputs)

    def publish_soon(self, task_id: UUID, sharer: Sharer, n_inputs: int) -> None:
        task = self._lanes.choose(task_id, sharer, n_inputs)
        self._accepted[task.place].append(task)
        self._committed.set()

    async def run(self) -> None:
        """Commit and publish until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._commit_groups())
            group.create_task(self._look_up_repeated())
            group.create_task(self._publish_groups())

    async def drain(self) -> None:
        """Publish what is accepted and not published yet, within a bounded time. Call it after `run` has ended."""
        try:
            async with asyncio.timeout(DRAIN):
                await self._publish(self._take(list(self._accepted)))
        except TimeoutError:
            log.warning("publish_abandoned")
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _commit_groups(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                size = _group_size(submission for submission, _ in self._waiting)
                group, self._waiting = self._waiting[:size], self._waiting[size:]
                await self._commit(group)

    async def _commit(self, group: Sequence[_Pending]) -> None:
        submissions = [submission for submission, _ in group]
        try:
            traced = tracing.joined("commit", (s.traceparent for s in submissions), tasks=len(submissions))
            with traced, self._commit_seconds.time():
                async with self._commits.connect() as connection:
                    new = await connection.run_sync(accept, submissions)
        except Exception as error:
            if len(group) > 1 and outage.reason(error) is None:
                for one in group:  # the one that cannot be stored must not fail the others
                    await self._commit([one])
                return
            self._fail(group, error)
            return
        self._commit_tasks.observe(len(group))
        if new.transaction is not None:
            inputs = sum(s.n_inputs for s in submissions if s.task_id in new.task_ids)
            self._backlog.stored(inputs, new.transaction)
        for s, stored in group:
            if s.task_id in new.task_ids:
                self.count_and_publish(s)
                _settle(stored, AcceptedTask(s.task_id))
            else:
                self._repeated.append((s, stored))
                self._conflicted.set()
        log.debug("tasks_accepted", tasks=len(new.task_ids))

    async def _look_up_repeated(self) -> None:
        """Look up the tasks of repeated idempotency keys, all that wait at one moment together."""
        while True:
            await self._conflicted.wait()
            self._conflicted.clear()
            group, self._repeated = self._repeated, []
            try:
                async with self._reads.connect() as connection:
                    found = await originals(connection, [submission for submission, _ in group])
            except Exception as error:
                self._fail(group, error)
                continue
            for (s, stored), original in zip(group, found, strict=True):
                if original is None:  # retention has removed the key meanwhile
                    self._queue(s, stored)
                else:
                    self._backlog.withdraw(s.n_inputs)
                    _settle(stored, original)

    def _fail(self, group: Sequence[_Pending], error: Exception) -> None:
        for submission, stored in group:
            self._backlog.withdraw(submission.n_inputs)
            _settle(stored, error)

    async def _publish_groups(self) -> None:
        while True:
            await self._committed.wait()
            self._committed.clear()
            while self._accepted:
                group = await self._ready()
                await (self._publish(group) if group else asyncio.sleep(HOLD))

    async def _ready(self) -> list[QueuedTask]:
        """Take what is to be published now: all but the tasks before which enough messages wait in their lane."""
        for place in [place for place in self._accepted if self._queued.get(place, 0) >= ENOUGH]:
            model, lane = place
            try:
                self._queued |= {place: (await self._in_thread(self._sender.waiting, model, [lane]))[lane]}
            except Exception as error:  # whatever it was: publishing goes on, and reports its own errors
                log.warning("queue_unknown", model=model, error=str(error))
                self._queued.clear()
        if sum(map(len, self._accepted.values())) >= MAX_TASKS:
            return self._take(list(self._accepted))
        return self._take([place for place in self._accepted if self._queued.get(place, 0) < ENOUGH])

    def _take(self, places: Iterable[tuple[str, Lane]]) -> list[QueuedTask]:
        return [task for place in places for task in self._accepted.pop(place)]

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    async def _publish(self, group: Sequence[QueuedTask]) -> None:
        try:
            self._queued |= await self._in_thread(self._sender.publish, group)
            self.last_publish_failure = None
        except Exception as error:  # whatever it was: the tasks are durable, and rescue publishes them
            self.publish_failures += 1
            self.last_publish_failure = (monotonic(), in_public(error))
            self._queued.clear()
            log.warning("publish_failed", tasks=len(group), error=str(error))


def _settle(stored: asyncio.Future[AcceptedTask], outcome: AcceptedTask | Exception) -> None:
    if stored.done():  # a client that has disconnected has cancelled it
        return
    if isinstance(outcome, Exception):
        stored.set_exception(outcome)
    else:
        stored.set_result(outcome)


def _group_size(submissions: Iterable[Submission]) -> int:
    """Return how many of the submissions go into one commit, at least one."""
    size = total = 0
    for submission in submissions:
        total += len(submission.payload)
        if size == MAX_GROUP or (size and total > MAX_GROUP_BYTES):
            break
        size += 1
    return size
