"""What a pool does when nothing goes wrong, or nothing but the user's own code."""

import asyncio
import threading
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pool import Model, ModelPool, ScoreFailed
from tests.pool.scoring import double, lines, load, load_slowly, score


def test_ready_means_that_every_process_has_loaded_the_model_and_none_loads_it_again(tmp_path: Path) -> None:
    record = tmp_path / "loads"
    with ModelPool(partial(load_slowly, record), score, workers=2) as pool:
        assert sorted(lines(record)) == sorted(str(pid) for pid in pool.pids)
        used = {pool.submit("model").result() for _ in range(50)}
        assert used <= set(pool.pids)
    assert len(list(lines(record))) == 2


def test_a_job_is_a_future_of_what_score_returns(pool: ModelPool) -> None:
    heard = threading.Event()
    results = []

    def hear(done: Future[Any]) -> None:
        results.append(done.result())
        heard.set()

    job = pool.submit("echo", value={"a": 1})
    job.add_done_callback(hear)
    assert job.result(timeout=60) == {"a": 1}
    assert heard.wait(60)
    assert results == [{"a": 1}]
    assert not job.cancel()
    assert not wait([pool.submit("echo", value=i) for i in range(500)], timeout=30).not_done


def test_the_work_is_not_done_in_this_process_and_both_workers_do_it(pool: ModelPool) -> None:
    jobs = [pool.submit("sleep", 0.05) for _ in range(2)] + [pool.submit("pid") for _ in range(2)]
    assert {job.result() for job in jobs[2:]} <= set(pool.pids)
    assert len({pool.submit("sleep", 0.2), pool.submit("pid"), pool.submit("pid")}) == 3


def test_jobs_of_several_models_share_the_processes() -> None:
    models = {"worker": Model(load, score), "double": Model(load, double)}
    with ModelPool(models=models, workers=1) as pool:
        assert pool.submit(x=21, model="double").result() == 42
        assert pool.submit("pid", model="worker").result() == pool.pids[0]
        with pytest.raises(TypeError, match="worker, double"):
            pool.submit(x=21)
        with pytest.raises(KeyError, match="triple"):
            pool.submit(x=21, model="triple")


def test_many_inputs_are_one_job() -> None:
    with ModelPool(load, double, workers=1) as pool:
        assert pool.submit_many([{"x": x} for x in range(100)]).result() == [2 * x for x in range(100)]
        assert pool.submit_many([]).result() == []


def test_results_are_each_caller_s_own(pool: ModelPool) -> None:
    def ask(caller: int) -> None:
        for i in range(300):
            assert pool.submit("echo", value=(caller, i)).result(timeout=30) == (caller, i)

    callers = [threading.Thread(target=ask, args=(caller,)) for caller in range(4)]
    jobs = [pool.submit("echo", value=i) for i in range(3000)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [job.result(timeout=30) for job in jobs] == list(range(3000))


async def test_score_does_not_block_the_event_loop(pool: ModelPool) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    assert await asyncio.gather(*(pool.score("echo", value=i) for i in range(200))) == list(range(200))
    await pool.score("sleep", 0.1)
    ticking.cancel()
    assert ticks > 10


def test_an_error_of_the_user_s_code_reaches_its_job_only_with_its_traceback(single: ModelPool) -> None:
    (pid,) = single.pids
    job = single.submit("raise", ValueError("no such feature"))
    with pytest.raises(ValueError, match="no such feature") as caught:
        job.result(timeout=60)
    assert "in _raise\n    raise error" in str(caught.value.__cause__)
    assert single.submit("pid").result(timeout=60) == pid


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("raise unreadable", "Unreadable: one"),
        ("stop iteration", "StopIteration"),
        ("exit", "SystemExit: 4"),
        ("cancelled", "CancelledError"),
    ],
)
async def test_an_error_that_would_do_harm_here_comes_in_words(single: ModelPool, action: str, words: str) -> None:
    with pytest.raises(ScoreFailed, match=words):
        await asyncio.wait_for(single.score(action), timeout=60)
    assert await single.score("pid") == single.pids[0]


def test_what_cannot_be_pickled_is_the_matter_of_its_job(single: ModelPool) -> None:
    with pytest.raises(Exception, match="pickle"):
        single.submit("echo", value=lambda: None)
    with pytest.raises(Exception, match="pickle"):
        single.submit("unpicklable").result(timeout=60)
    assert single.submit("pid").result(timeout=60) == single.pids[0]
