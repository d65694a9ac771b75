"""The names of the public MLPool package over this pool: both generations of its README run unchanged.

    with MLPool(models_to_load={"iris": load_iris}, nb_workers=5) as pool:           # 0.1.0
        job_id = pool.create_job(score_iris, "iris", kwargs={"features": [...]})
        pool.get_result(job_id)

    with MLPool(load_model_func=load_iris, score_model_func=score_iris) as pool:     # before it
        job_id = pool.schedule_model_scoring(features=[...])
        pool.get_scoring_result(job_id, wait_if_not_available=True)

`from ml_pool import MLPool` finds this when `pool/compat` is on the path. A job's result can be had once, and for
`result_ttl` seconds.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

from pool.errors import PoolError, PoolFull
from pool.job import Job
from pool.pool import ModelPool
from pool.process import Model

_ONLY = "model"


class JobWithSuchIDDoesntExistError(PoolError):
    """No job has this id, or its result was fetched or has expired."""


class UserProvidedCallableError(PoolError):
    """What should load or score a model cannot be called."""


class MLPool:
    """Scores with any function of the caller's, or with the one that it was made with."""

    def __init__(
        self,
        models_to_load: Mapping[str, Callable[[], Any]] | None = None,
        nb_workers: int | None = None,
        message_queue_size: int = 100,
        result_ttl: float = 300.0,
        *,
        load_model_func: Callable[[], Any] | None = None,
        score_model_func: Callable[..., Any] | None = None,
    ) -> None:
        loads: dict[str, Any] = {**models_to_load} if models_to_load else {_ONLY: load_model_func}
        self._score = score_model_func
        for function in (*loads.values(), *([] if models_to_load else [score_model_func])):
            if not callable(function):
                raise UserProvidedCallableError(f"{function!r} is no function")
        models = {name: Model(load, _call) for name, load in loads.items()}
        self._pool = ModelPool(models=models, workers=nb_workers, room=message_queue_size)
        self._result_ttl = result_ttl
        self._lock = Lock()
        self._jobs: dict[UUID, Job] = {}
        self._done: OrderedDict[UUID, float] = OrderedDict()  # when they were

    def create_job(
        self,
        score_model_function: Callable[..., Any],
        model_name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        wait_if_full: bool = True,
    ) -> UUID | None:
        """Return the job's id; None when the queue is full and the caller does not wait."""
        if not callable(score_model_function):
            raise UserProvidedCallableError(f"{score_model_function!r} is no function")
        try:
            job = self._pool.submit(
                score_model_function, args or (), kwargs or {}, model=model_name, wait=None if wait_if_full else 0
            )
        except PoolFull:
            return None
        except KeyError as error:
            raise ValueError(error.args[0]) from None  # as the public package has it
        return self._keep(job)

    async def create_job_async(
        self,
        score_model_function: Callable[..., Any],
        model_name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> UUID:
        job_id = self.create_job(score_model_function, model_name, args, kwargs, wait_if_full=False)
        if job_id is None:  # a thread waits for room, the event loop does not
            job_id = await asyncio.to_thread(self.create_job, score_model_function, model_name, args, kwargs)
        assert job_id is not None  # noqa: S101 (for mypy: it waited)
        return job_id

    def get_result(self, job_id: UUID, *, wait_if_unavailable: bool = True) -> Any:
        """Return the result, or raise what scoring raised; None when it is not there and the caller does not wait."""
        job = self._find(job_id)
        if not wait_if_unavailable and not job.done():
            return None
        try:
            return job.result()
        finally:
            self._forget(job_id)

    async def get_result_async(self, job_id: UUID) -> Any:
        try:
            return await asyncio.wrap_future(self._find(job_id))
        finally:
            self._forget(job_id)

    def cancel_job(self, job_id: UUID) -> None:
        """Cancel the job, running or not; nothing happens when there is none with this id."""
        job = self._forget(job_id)
        if job:
            job.cancel()

    def schedule_model_scoring(self, *args: Any, **kwargs: Any) -> UUID:
        return self._keep(self._pool.submit(self._only_score(), args, kwargs))

    async def schedule_model_scoring_async(self, *args: Any, **kwargs: Any) -> UUID:
        return await self.create_job_async(self._only_score(), _ONLY, args, kwargs)

    def get_scoring_result(self, job_id: UUID, wait_if_not_available: bool = True) -> Any:
        return self.get_result(job_id, wait_if_unavailable=wait_if_not_available)

    async def get_scoring_result_async(self, job_id: UUID) -> Any:
        return await self.get_result_async(job_id)

    def shutdown(self) -> None:
        self._pool.close(timeout=0)

    def __enter__(self) -> "MLPool":
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()

    def _only_score(self) -> Callable[..., Any]:
        if self._score is None:
            raise UserProvidedCallableError("the pool was made without `score_model_func`: use create_job")
        return self._score

    def _keep(self, job: Job) -> UUID:
        job_id = uuid4()
        with self._lock:
            self._expire()
            self._jobs[job_id] = job
        job.add_done_callback(lambda _: self._note_done(job_id))
        return job_id

    def _note_done(self, job_id: UUID) -> None:
        with self._lock:
            if job_id in self._jobs:
                self._done[job_id] = monotonic()

    def _expire(self) -> None:
        while self._done and next(iter(self._done.values())) < monotonic() - self._result_ttl:
            self._jobs.pop(self._done.popitem(last=False)[0], None)

    def _find(self, job_id: UUID) -> Job:
        with self._lock:
            self._expire()
            if job_id not in self._jobs:
                raise JobWithSuchIDDoesntExistError(f"no job has the id {job_id}, or its result was fetched or expired")
            return self._jobs[job_id]

    def _forget(self, job_id: UUID) -> Job | None:
        with self._lock:
            self._done.pop(job_id, None)
            return self._jobs.pop(job_id, None)


def _call(model: Any, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return function(model, *args, **kwargs)
