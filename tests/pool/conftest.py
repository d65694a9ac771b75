"""Pools for the tests, and a look at what they leave behind."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pool import ModelPool
from tests.pool.scoring import load, score


@pytest.fixture
def pool() -> Iterator[ModelPool]:
    """Two workers that do what a test asks."""
    with ModelPool(load, score, workers=2) as pool:
        yield pool


@pytest.fixture
def single() -> Iterator[ModelPool]:
    """One worker and room for two jobs."""
    pool = ModelPool(load, score, workers=1, room=2)
    yield pool
    pool.close(timeout=0)


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)
