"""A queue that is full, jobs that are cancelled, a pool that is closed, arrays that are large."""

import asyncio
import threading
import time
from concurrent.futures import CancelledError, wait
from pathlib import Path

import numpy as np
import pytest

from pool import Job, ModelPool, PoolClosed, PoolFull, WorkerLost
from tests.pool.conftest import alive, eventually
from tests.pool.scoring import load, score


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def fill(pool: ModelPool, release: Path) -> list[Job]:
    """Give the only worker a job until `release` is there, and fill the queue."""
    running = pool.submit("wait for", release)
    eventually(running.running)
    return [running, pool.submit("echo", value=1), pool.submit("echo", value=2)]


def test_a_full_queue_refuses_or_lets_wait(single: ModelPool, tmp_path: Path) -> None:
    release = tmp_path / "release"
    fill(single, release)
    with pytest.raises(PoolFull):
        single.submit("pid", wait=0)
    with pytest.raises(PoolFull):
        single.submit("pid", wait=0.05)
    assert single.waiting == 2
    accepted = []
    caller = threading.Thread(target=lambda: accepted.append(single.submit("echo", value="waited")))
    caller.start()
    caller.join(0.1)
    assert caller.is_alive(), "it waits for room"
    release.touch()
    caller.join(60)
    assert accepted[0].result(timeout=60) == "waited"


async def test_a_full_queue_blocks_no_event_loop(single: ModelPool, tmp_path: Path) -> None:
    release = tmp_path / "release"
    fill(single, release)
    with pytest.raises(PoolFull):
        await single.score("pid", wait=0.05)
    given_up = asyncio.create_task(single.score("pid"))
    waiting = asyncio.create_task(single.score("echo", value="waited"))
    await asyncio.sleep(0.05)
    given_up.cancel()
    release.touch()
    assert await asyncio.wait_for(waiting, 60) == "waited"
    with pytest.raises(asyncio.CancelledError):
        await given_up


def test_a_cancelled_job_that_waits_never_runs_and_leaves_its_place(single: ModelPool, tmp_path: Path) -> None:
    release = tmp_path / "release"
    running, waiting, other = fill(single, release)
    assert waiting.cancel()
    assert waiting.cancel(), "twice is no error"
    never = single.submit("tell", tmp_path / "ran", wait=0)
    never.cancel()
    assert not wait([waiting, never], timeout=60).not_done
    last = single.submit("echo", value=3, wait=0)
    release.touch()
    assert [job.result(timeout=60) for job in (running, other, last)] == ["released", 2, 3]
    assert not (tmp_path / "ran").exists()


def test_a_cancelled_job_that_runs_may_end_and_keeps_its_process(single: ModelPool, tmp_path: Path) -> None:
    (pid,) = single.pids
    release = tmp_path / "release"
    running = single.submit("wait for", release)
    eventually(running.running)
    assert running.cancel()
    with pytest.raises(CancelledError):
        running.result(timeout=0)
    release.touch()
    assert single.submit("pid").result(timeout=60) == pid


@pytest.mark.parametrize("by", ["the caller", "asyncio"])
async def test_a_cancelled_job_that_does_not_end_is_ended_with_its_process(by: str, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with ModelPool(load, score, workers=1, cancel_grace=0.1) as pool:
        (pid,) = pool.pids
        if by == "asyncio":
            scoring = asyncio.create_task(pool.score("announce", begun))
            while not begun.exists():  # noqa: ASYNC110 - it is another process that begins
                await asyncio.sleep(0.01)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(scoring, timeout=0)
        else:
            running = pool.submit("spin")
            eventually(running.running)
            running.cancel()
        assert await pool.score("pid") != pid


def test_closing_finishes_what_was_taken_and_takes_no_more(tmp_path: Path) -> None:
    with ModelPool(load, score, workers=1) as pool:
        jobs = [pool.submit("sleep", 0.02) for _ in range(10)]
    assert all(job.done() and job.exception() is None for job in jobs)
    with pytest.raises(PoolClosed):
        pool.submit("pid")
    pool.close()


def test_closing_with_a_limit_ends_the_rest(single: ModelPool, tmp_path: Path) -> None:
    jobs = fill(single, tmp_path / "never")
    refused = []

    def submit() -> None:
        try:
            single.submit("pid")
        except PoolClosed as error:
            refused.append(error)

    caller = threading.Thread(target=submit)
    caller.start()
    time.sleep(0.05)
    single.close(timeout=0.1)
    caller.join(60)
    assert refused, "who waited for room is told"
    for job in jobs:
        with pytest.raises(PoolClosed):
            job.result(timeout=0)


def test_large_arrays_arrive_whole_writable_and_leave_nothing(single: ModelPool) -> None:
    single.submit("echo").result(timeout=60)
    before = descriptors()
    for shape in [(100,), (300, 300), (1000, 2000), (0, 5)]:
        array = np.random.default_rng(0).random(shape)
        assert np.array_equal(single.submit("add one", array).result(timeout=30), array + 1)
        assert np.array_equal(single.submit("add one", array.T).result(timeout=30), array.T + 1)
    result = single.submit("echo", value=[np.ones(10**6), b"x" * 10**6, "y" * 10**6]).result(timeout=30)
    result[0][0] = 5
    assert (result[0].sum(), result[1:]) == (10**6 + 4, [b"x" * 10**6, "y" * 10**6])
    mine = np.ones(10**5)
    assert single.submit("write into", mine).result(timeout=30) == 7e5
    assert mine.sum() == 10**5, "the worker has a copy"
    with pytest.raises(WorkerLost):
        single.submit("die", np.ones(10**6)).result(timeout=60)
    single.submit("echo").result(timeout=60)
    assert descriptors() == before


def test_many_large_arrays_wait_without_a_file_descriptor_each(single: ModelPool, tmp_path: Path) -> None:
    with ModelPool(load, score, workers=1) as pool:
        release = tmp_path / "release"
        pool.submit("wait for", release)
        before = descriptors()
        jobs = [pool.submit("add one", np.full(50_000, i)) for i in range(100)]
        assert descriptors() - before < 5
        release.touch()
        assert [int(job.result(timeout=30)[0]) for job in jobs] == list(range(1, 101))


def test_a_pool_that_nobody_has_any_more_finishes_its_jobs_and_ends() -> None:
    pool = ModelPool(load, score, workers=1)
    (pid,) = pool.pids
    job = pool.submit("sleep", 0.1)
    del pool
    assert job.result(timeout=60) is None
    eventually(lambda: not alive(pid))
