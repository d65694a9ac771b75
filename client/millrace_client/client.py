"""The client that blocks."""

import threading
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx2

from millrace_client import VERSION, operations, outcomes, settings, tables
from millrace_client.errors import MillraceError, api_error
from millrace_client.exchange import Call, Deadline, Operation, Pause, Reply, T
from millrace_client.models import Job, Model, TaskState

AGENT = f"millrace-client/{VERSION}"
CONNECT_TIMEOUT = 10.0


class Task:
    """A task that was submitted."""

    def __init__(self, client: "Client", task_id: str) -> None:
        self._client = client
        self.task_id = task_id

    def __repr__(self) -> str:
        return f"Task({self.task_id!r})"

    @property
    def status(self) -> str:
        """PENDING, STARTED, SUCCESS, FAILURE, REVOKED or EXPIRED, as the server says now."""
        return self.read().status

    def read(self) -> TaskState:
        """Return the task as it stands."""
        return self._client.task(self.task_id)

    def wait(self, timeout: float | None = None) -> TaskState:
        """Return the task when it has succeeded. Raises TaskFailed, DeadlineExceeded."""
        return self._client.run(operations.wait_for(self.task_id, self._client.deadline(timeout)))

    def cancel(self) -> TaskState:
        """Cancel it. Raises Conflict if it has ended."""
        return self._client.run(operations.cancel(self.task_id, self._client.deadline()))

    def replay(self) -> None:
        """Have it scored again after it has failed. Raises Conflict if it has not."""
        self._client.run(operations.replay(self.task_id, self._client.deadline()))


class Client:
    """Speaks to a Millrace server. Threads may share one.

    Without arguments it takes MILLRACE_URL and MILLRACE_API_KEY, or the profile `default` of the profile file, or else
    the address at which `make up` serves. Every call is repeated on connection errors and while the server is busy,
    until `timeout` seconds have passed; submissions carry idempotency keys, so that repeating is safe.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        profile: str | None = None,
        timeout: float = 60,
        found: settings.Settings | None = None,
    ) -> None:
        """Take the settings that were `found` already, or look for them."""
        found = found or settings.read(url, key, profile)
        self.url, self.timeout = found.url, timeout
        headers = {"User-Agent": AGENT} | ({"Authorization": f"Bearer {found.key}"} if found.key else {})
        self._http = httpx2.Client(base_url=found.url, headers=headers, timeout=CONNECT_TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def deadline(self, timeout: float | None = None) -> Deadline:
        return Deadline(self.timeout if timeout is None else timeout)

    def submit(
        self,
        rows: Any,
        *,
        model: str = "report_scorer",
        priority: str | None = None,
        expires: float | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> Task:
        """Submit rows as one task: a list of mappings, or a table. It expires if it is not scored in so many seconds.

        With an `idempotency_key` of your own, calling it again, in another process too, returns the same task.
        """
        bodies = list(tables.parts(rows, max_rows=2**31))
        if len(bodies) > 1:
            raise ValueError("these rows are too many bytes for one task; use score or score_file")
        ((body, kind),) = bodies
        options = operations.TaskOptions(priority, expires, callback_url)
        submitting = operations.submit(body, kind, model, idempotency_key or str(uuid4()), self.deadline(), options)
        return Task(self, self.run(submitting))

    def score(
        self, rows: Any, *, model: str = "report_scorer", timeout: float = 600, idempotency_key: str | None = None
    ) -> Any:
        """Return the rows with the model's outputs beside them, in the shape in which they came.

        As many tasks as needed are submitted. Raises TaskFailed, DeadlineExceeded.
        """
        rows = tables.kept(rows)
        limit = self.model(model).max_inputs or 1
        scoring = operations.score(tables.parts(rows, limit), model, idempotency_key, timeout)
        return tables.beside(rows, operations.joined(self.run(scoring)))

    def score_file(self, path: Any, out: Any, **options: Any) -> Job:
        """Score a file and write its rows beside their outputs to `out`; see millrace_client.files.score_file."""
        from millrace_client.files import score_file

        return score_file(self, path, out, **options)

    def task(self, task_id: str) -> TaskState:
        """Return a task as it stands. Raises NotFound."""
        return self.run(operations.read_task(task_id, self.deadline()))

    def tasks(self, *, limit: int | None = None, **filters: str) -> Iterator[Mapping[str, Any]]:
        """Yield tasks, newest first: `status`, `model`, `submitted_after` and `submitted_before` choose among them."""
        yield from self._pages(operations.tasks, limit, filters)

    def _pages(
        self, read: operations.ReadPage, limit: int | None, filters: Mapping[str, str]
    ) -> Iterator[Mapping[str, Any]]:
        size = 1000 if limit is None else min(limit, 1000)
        before: str | None = None
        while limit is None or limit > 0:
            asked = {**filters, "limit": str(size), **({"before": before} if before else {})}
            page, before = self.run(read(asked, self.deadline()))
            yield from page if limit is None else page[:limit]
            limit = None if limit is None else limit - len(page)
            if before is None:
                return

    def add_outcomes(self, rows: Any, *, model: str | None = None) -> outcomes.OutcomeCounts:
        """Report outcomes of predictions: a list of mappings, or a table; `model` is that of rows that name none.

        A row has `key`, or `task_id` and `position`; `outcome`, `decided_at`; and if you like `reviewer`, `source`.
        """
        parts = tables.parts(rows, outcomes.MAX_ROWS)
        return self.run(outcomes.send_all(parts, model, self.deadline()))

    def add_outcomes_file(self, path: Any, **options: Any) -> outcomes.OutcomeCounts:
        """Report the outcomes of a file; see millrace_client.outcomes.send_file."""
        return outcomes.send_file(self, path, **options)

    def outcomes(self, *, limit: int | None = None, **filters: str) -> Iterator[Mapping[str, Any]]:
        """Yield outcomes, the ones stored last first: `model`, `key`, `decided_after` … choose among them."""
        yield from self._pages(outcomes.page, limit, filters)

    def models(self) -> list[Model]:
        """Return the served models."""
        return self.run(operations.models(self.deadline()))

    def model(self, name: str) -> Model:
        """Return a model with its schemas. Raises NotFound."""
        return self.run(operations.model(name, self.deadline()))

    def job(self, job_id: str) -> Job:
        """Return how far a job is. Raises NotFound."""
        return self.run(operations.read_job(job_id, self.deadline()))

    def cancel_job(self, job_id: str) -> Job:
        """Cancel a job that has not ended. Raises Conflict for one that has."""
        return self.run(operations.cancel_job(job_id, self.deadline()))

    def stream(self, path: str, accept: str, params: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """Yield the body of a response as it arrives. Raises ApiError, or httpx2.TransportError where it breaks off."""
        asked = dict(params or {})
        with self._http.stream("GET", path, params=asked, headers={"Accept": accept}, timeout=300) as response:
            if response.status_code != 200:
                response.read()
                raise api_error(response.status_code, _json(response))
            yield from response.iter_bytes()

    def run(self, operation: Operation[T], stopped: threading.Event | None = None) -> T:
        """Drive an operation to its end, or until it is `stopped` while it waits. Raises Stopped then."""
        reply: Reply | None = None
        while True:
            try:
                step = operation.send(reply) if reply is not None else next(operation)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Pause) and stopped is not None and stopped.wait(step.seconds):
                raise Stopped
            reply = NOTHING if isinstance(step, Pause) and stopped is not None else self._done(step)

    def _done(self, step: Call | Pause) -> Reply:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return NOTHING
        try:
            response = self._http.request(
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


class Stopped(Exception):
    """Nobody waits for the operation any more."""


NOTHING = Reply(0, {}, b"")
"""What a pause is answered with."""


def _json(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
