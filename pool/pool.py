"""The pool as its users see it."""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any
from weakref import finalize

from pool import wire
from pool.errors import PoolFull
from pool.job import Job
from pool.process import Model
from pool.supervisor import PoolSupervisor

_ONLY = "model"  # the name of the model of a pool that has one


class ModelPool:
    """Scores in processes of its own, each of which has every model loaded before the pool is ready.

    One model: `load` and `score`. Several: `models`, by name. `load()` returns the model and `score(model, ...)` what
    the job results in; both run in the workers, so they must be importable there.

    `workers` is by default one for each core. At most `room` jobs wait. `timeout` and `retry` are for jobs that do not
    say otherwise. A model that is not loaded after `load_timeout` seconds has failed. A job cancelled while it runs has
    `cancel_grace` seconds to end before its process is replaced; None: as long as it takes.

    Raises LoadFailed when a model does not load.
    """

    def __init__(
        self,
        load: Callable[[], Any] | str | None = None,
        score: Callable[..., Any] | str | None = None,
        *,
        models: Mapping[str, Model] | None = None,
        workers: int | None = None,
        room: int = 10_000,
        timeout: float | None = None,
        retry: bool = False,
        load_timeout: float | None = None,
        cancel_grace: float | None = 1.0,
    ) -> None:
        if load and score and models is None:
            models = {_ONLY: Model(load, score)}
        elif load or score or not models:
            raise TypeError("a pool takes `load` and `score`, or `models`")
        self._models = models
        self._timeout = timeout
        self._retry = retry
        workers = workers or os.cpu_count() or 1
        self._supervisor = PoolSupervisor(models, workers, max(1, room), load_timeout, cancel_grace)
        self._dispatch = self._supervisor.dispatch
        finalize(self, self._supervisor.let_go).atexit = False
        try:
            self._supervisor.start()
        except BaseException:
            self.close(timeout=0)
            raise

    def submit(
        self,
        *args: Any,
        model: str | None = None,
        timeout: float | None = None,
        retry: bool | None = None,
        wait: float | None = None,
        **kwargs: Any,
    ) -> Job:
        """Have `score(model, *args, **kwargs)` run; return its future.

        A job that runs for more than `timeout` seconds ends in JobTimeout. One whose process dies ends in WorkerLost,
        with `retry` only when that happens twice. When the pool is full, this waits for room; with `wait` for at most
        so many seconds (0: not at all), and then raises PoolFull.

        Arrays of 128 kB and more are read when the job starts, not copied here: leave them as they are until then.
        """
        return self._submit(self._job([(args, kwargs)], False, model, timeout, retry), wait)

    def submit_many(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        model: str | None = None,
        timeout: float | None = None,
        retry: bool | None = None,
        wait: float | None = None,
    ) -> Job:
        """Have `score(model, **input)` run for every input, in one job of one worker; it results in a list."""
        return self._submit(self._job([((), kwargs) for kwargs in inputs], True, model, timeout, retry), wait)

    async def score(
        self,
        *args: Any,
        model: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 (of the job, in its worker)
        retry: bool | None = None,
        wait: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Do as `submit` and return the result, all without blocking the event loop; cancelling cancels the job."""
        job = self._job([(args, kwargs)], False, model, timeout, retry)
        if place := self._dispatch.offer(job):
            try:
                await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(place)), wait)
            except BaseException as error:
                self._give_up(job, error)
        return await asyncio.wrap_future(job)

    def close(self, timeout: float | None = None) -> None:
        """Take no more jobs, finish those taken, and end the processes.

        What is not finished after `timeout` seconds ends in PoolClosed.
        """
        self._supervisor.close(timeout)

    def __enter__(self) -> "ModelPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(timeout=None if error is None else 0)

    @property
    def waiting(self) -> int:
        """How many jobs no worker has taken yet."""
        return self._dispatch.waiting

    @property
    def pids(self) -> list[int]:
        """The processes that are ready."""
        return self._supervisor.pids

    def _job(self, inputs: list[Any], many: bool, model: str | None, timeout: float | None, retry: bool | None) -> Job:
        if model is None and len(self._models) > 1:
            raise TypeError(f"name the `model`: one of {', '.join(self._models)}")
        name = next(iter(self._models)) if model is None else model
        if name not in self._models:
            raise KeyError(f"no model is named {name!r}: there are {', '.join(self._models)}")
        return Job(
            name,
            wire.pack((name, many, inputs)),
            calls=len(inputs),
            timeout=self._timeout if timeout is None else timeout,
            retry=self._retry if retry is None else retry,
            withdraw=self._dispatch.withdraw,
        )

    def _submit(self, job: Job, wait: float | None) -> Job:
        if place := self._dispatch.offer(job):
            try:
                place.result(wait)
            except BaseException as error:
                self._give_up(job, error)
        return job

    def _give_up(self, job: Job, error: BaseException) -> None:
        """Handle that a job found no place; one that found it at the last moment is cancelled all the same."""
        job.cancel()
        if isinstance(error, TimeoutError):
            raise PoolFull("no room for the job") from None
        raise error
