"""The client for asyncio: the same operations, awaited."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx2

from millrace_client import operations, outcomes, settings, tables
from millrace_client.client import AGENT, CONNECT_TIMEOUT, NOTHING, Client
from millrace_client.errors import MillraceError
from millrace_client.exchange import Call, Deadline, Operation, Pause, Reply, T
from millrace_client.models import Job, Model, TaskState


class AsyncTask:
    """A task that was submitted."""

    def __init__(self, client: "AsyncClient", task_id: str) -> None:
        self._client = client
        self.task_id = task_id

    def __repr__(self) -> str:
        return f"AsyncTask({self.task_id!r})"

    async def read(self) -> TaskState:
        """Return the task as it stands."""
        return await self._client.task(self.task_id)

    async def wait(self, timeout: float | None = None) -> TaskState:  # noqa: ASYNC109 - the total of many requests
        """Return the task when it has succeeded. Raises TaskFailed, DeadlineExceeded."""
        return await self._client.run(operations.wait_for(self.task_id, self._client.deadline(timeout)))

    async def cancel(self) -> TaskState:
        """Cancel it. Raises Conflict if it has ended."""
        return await self._client.run(operations.cancel(self.task_id, self._client.deadline()))

    async def replay(self) -> None:
        """Have it scored again after it has failed. Raises Conflict if it has not."""
        await self._client.run(operations.replay(self.task_id, self._client.deadline()))


class AsyncClient:
    """Speaks to a Millrace server from asyncio. It takes the same settings as Client."""

    def __init__(
        self, url: str | None = None, *, key: str | None = None, profile: str | None = None, timeout: float = 60
    ) -> None:
        self._settings = settings.read(url, key, profile)
        self.url, self.timeout = self._settings.url, timeout
        given = self._settings.key
        headers = {"User-Agent": AGENT} | ({"Authorization": f"Bearer {given}"} if given else {})
        self._http = httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=CONNECT_TIMEOUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    def deadline(self, timeout: float | None = None) -> Deadline:
        return Deadline(self.timeout if timeout is None else timeout)

    async def submit(
        self,
        rows: Any,
        *,
        model: str = "report_scorer",
        priority: str | None = None,
        expires: float | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncTask:
        """Submit rows as one task, as Client.submit does."""
        bodies = list(tables.parts(rows, max_rows=2**31))
        if len(bodies) > 1:
            raise ValueError("these rows are too many bytes for one task; use score or score_file")
        ((body, kind),) = bodies
        options = operations.TaskOptions(priority, expires, callback_url)
        submitting = operations.submit(body, kind, model, idempotency_key or str(uuid4()), self.deadline(), options)
        return AsyncTask(self, await self.run(submitting))

    async def score(
        self,
        rows: Any,
        *,
        model: str = "report_scorer",
        timeout: float = 600,  # noqa: ASYNC109 - the total of many requests
        idempotency_key: str | None = None,
    ) -> Any:
        """Return the rows with the model's outputs beside them, as Client.score does."""
        rows = tables.kept(rows)
        limit = (await self.model(model)).max_inputs or 1
        scoring = operations.score(tables.parts(rows, limit), model, idempotency_key, timeout)
        return tables.beside(rows, operations.joined(await self.run(scoring)))

    async def score_file(self, path: Any, out: Any, **options: Any) -> Job:
        """Score a file in a thread, as Client.score_file does."""

        def score() -> Job:
            with Client(timeout=self.timeout, found=self._settings) as client:
                return client.score_file(path, out, **options)

        return await asyncio.to_thread(score)

    async def task(self, task_id: str) -> TaskState:
        """Return a task as it stands. Raises NotFound."""
        return await self.run(operations.read_task(task_id, self.deadline()))

    async def tasks(self, *, limit: int | None = None, **filters: str) -> AsyncIterator[Mapping[str, Any]]:
        """Yield tasks, newest first, as Client.tasks does."""
        async for task in self._pages(operations.tasks, limit, filters):
            yield task

    async def _pages(
        self, read: operations.ReadPage, limit: int | None, filters: Mapping[str, str]
    ) -> AsyncIterator[Mapping[str, Any]]:
        size = 1000 if limit is None else min(limit, 1000)
        before: str | None = None
        while limit is None or limit > 0:
            asked = {**filters, "limit": str(size), **({"before": before} if before else {})}
            page, before = await self.run(read(asked, self.deadline()))
            for one in page if limit is None else page[:limit]:
                yield one
            limit = None if limit is None else limit - len(page)
            if before is None:
                return

    async def add_outcomes(self, rows: Any, *, model: str | None = None) -> outcomes.OutcomeCounts:
        """Report outcomes of predictions, as Client.add_outcomes does."""
        parts = tables.parts(rows, outcomes.MAX_ROWS)
        return await self.run(outcomes.send_all(parts, model, self.deadline()))

    async def outcomes(self, *, limit: int | None = None, **filters: str) -> AsyncIterator[Mapping[str, Any]]:
        """Yield outcomes, as Client.outcomes does."""
        async for one in self._pages(outcomes.page, limit, filters):
            yield one

    async def models(self) -> list[Model]:
        """Return the served models."""
        return await self.run(operations.models(self.deadline()))

    async def model(self, name: str) -> Model:
        """Return a model with its schemas. Raises NotFound."""
        return await self.run(operations.model(name, self.deadline()))

    async def job(self, job_id: str) -> Job:
        """Return how far a job is. Raises NotFound."""
        return await self.run(operations.read_job(job_id, self.deadline()))

    async def run(self, operation: Operation[T]) -> T:
        """Drive an operation to its end."""
        reply: Reply | None = None
        while True:
            try:
                step = operation.send(reply) if reply is not None else next(operation)
            except StopIteration as end:
                result: T = end.value
                return result
            reply = await self._done(step)

    async def _done(self, step: Call | Pause) -> Reply:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return NOTHING
        try:
            response = await self._http.request(
                step.method,
                step.path,
                params=dict(step.params),
                headers=dict(step.headers),
                content=step.content,
                timeout=httpx2.Timeout(step.timeout, connect=CONNECT_TIMEOUT),
            )
        except (httpx2.LocalProtocolError, httpx2.UnsupportedProtocol) as error:  # it may quote a header
            raise MillraceError(f"the request cannot be sent: {type(error).__name__}") from None
        except httpx2.TransportError as error:
            return Reply(0, {}, f"{type(error).__name__}: {error}".encode())
        return Reply(response.status_code, response.headers, response.content)
