"""`timer` and `get_new_job_id`, which the public package's examples and tests use."""

from collections.abc import Callable
from functools import wraps
from time import perf_counter
from typing import ParamSpec, TypeVar
from uuid import UUID, uuid4

__all__ = ["get_new_job_id", "timer"]

P = ParamSpec("P")
R = TypeVar("R")


def timer(function: Callable[P, R]) -> Callable[P, R]:
    """Print how long each call of the function took."""

    @wraps(function)
    def timed(*args: P.args, **kwargs: P.kwargs) -> R:
        start = perf_counter()
        result = function(*args, **kwargs)
        print(f"Function {function.__name__} took {perf_counter() - start:.3f} seconds")  # noqa: T201
        return result

    return timed


def get_new_job_id() -> UUID:
    return uuid4()
