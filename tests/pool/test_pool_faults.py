"""Workers that die, hang and do not load: each provoked for real."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from pool import JobTimeout, LoadFailed, ModelPool, WorkerLost
from tests.pool.conftest import alive, eventually
from tests.pool.scoring import (
    lines,
    load,
    load_and_die,
    load_badly,
    load_for_ever,
    load_unless,
    score,
)


@pytest.mark.parametrize(
    ("death", "words"),
    [
        ("die", "ended with status 7"),
        ("kill", "killed by SIGKILL .out of memory"),
        ("segfault", "killed by SIGSEGV"),
        ("fork and die", "ended with status 1"),
    ],
)
def test_a_dead_worker_loses_its_job_and_no_other(pool: ModelPool, tmp_path: Path, death: str, words: str) -> None:
    record = tmp_path / "scored"
    before = [pool.submit("tell", record, f"{i}") for i in range(50)]
    dying = pool.submit(death)
    after = [pool.submit("tell", record, f"{i}") for i in range(50, 300)]
    with pytest.raises(WorkerLost, match=words):
        dying.result(timeout=60)
    assert [job.result(timeout=30) for job in before + after] == [f"{i}" for i in range(300)]
    assert sorted(lines(record), key=int) == [f"{i}" for i in range(300)], "each was scored once"
    eventually(lambda: len(pool.pids) == 2)


def test_a_worker_that_somebody_kills_loses_the_job_that_it_was_at(single: ModelPool, tmp_path: Path) -> None:
    job = single.submit("announce", tmp_path / "started")
    eventually((tmp_path / "started").exists)
    os.kill(single.pids[0], signal.SIGKILL)
    with pytest.raises(WorkerLost):
        job.result(timeout=60)


def test_a_job_whose_worker_died_is_tried_again_when_asked(pool: ModelPool, tmp_path: Path) -> None:
    assert pool.submit("twice", tmp_path, retry=True).result(timeout=60) == "second attempt"
    with pytest.raises(WorkerLost):
        pool.submit("die", retry=True).result(timeout=60)


def test_a_worker_killed_while_idle_costs_no_job(single: ModelPool) -> None:
    for _ in range(3):
        os.kill(single.pids[0], signal.SIGKILL)
        assert isinstance(single.submit("pid").result(timeout=60), int)
        eventually(lambda: single.pids)


def test_a_job_that_hangs_ends_at_its_timeout_and_its_process_is_replaced(pool: ModelPool) -> None:
    hanging = pool.submit("spin", timeout=0.2)
    others = [pool.submit("sleep", 0.1) for _ in range(4)]
    with pytest.raises(JobTimeout, match=r"more than 0\.2 s"):
        hanging.result(timeout=60)
    for other in others:
        other.result(timeout=60)
    eventually(lambda: len(pool.pids) == 2)
    assert pool.submit("echo", value=1, timeout=60).result(timeout=60) == 1


def test_a_job_that_hangs_holds_up_none_that_were_sent_with_it(pool: ModelPool, tmp_path: Path) -> None:
    release = tmp_path / "release"
    for job in [pool.submit("echo", value=i) for i in range(500)]:  # short ones: so the next go several to a message
        job.result(timeout=60)
    jobs = [pool.submit("echo", value=i) for i in range(200)]
    hanging = pool.submit("wait for", release)
    jobs += [pool.submit("echo", value=i) for i in range(200)]
    assert [job.result(timeout=30) for job in jobs] == [*range(200), *range(200)]
    assert not hanging.done()
    release.touch()
    assert hanging.result(timeout=60) == "released"


def test_a_model_that_does_not_load_fails_the_constructor_with_the_worker_s_traceback() -> None:
    with pytest.raises(LoadFailed) as caught:
        ModelPool(partial(load_badly, "iris.ubj"), score, workers=2)
    cause = caught.value.__cause__
    assert isinstance(cause, FileNotFoundError)
    assert "no model in iris.ubj" in str(cause)
    assert "in load_badly\n" in str(cause.__cause__)


def test_a_process_that_dies_while_it_loads_fails_the_constructor() -> None:
    with pytest.raises(LoadFailed, match="ended with status 3 while it loaded"):
        ModelPool(load_and_die, score, workers=1)


def test_a_model_that_loads_for_ever_fails_when_that_is_limited() -> None:
    with pytest.raises(LoadFailed, match=r"not loaded in 0\.5 s"):
        ModelPool(load_for_ever, score, workers=1, load_timeout=0.5)


def test_a_load_that_cannot_be_pickled_fails_the_constructor() -> None:
    with pytest.raises(Exception, match="pickle"):
        ModelPool(lambda: 1, score, workers=1)


def test_a_pool_without_workers_fails_its_jobs_and_heals_when_the_model_loads_again(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with ModelPool(partial(load_unless, gone), score, workers=1) as pool:
        (pid,) = pool.pids
        gone.touch()
        dying, waiting = pool.submit("die"), pool.submit("pid")
        with pytest.raises(WorkerLost):
            dying.result(timeout=60)
        with pytest.raises(LoadFailed):
            waiting.result(timeout=60)
        with pytest.raises(LoadFailed):
            pool.submit("pid")
        gone.unlink()
        eventually(lambda: pool.pids, seconds=30)
        assert pool.submit("pid").result(timeout=60) != pid


def test_nothing_is_left_of_a_closed_pool() -> None:
    pool = ModelPool(load, score, workers=2)
    pids = pool.pids
    pool.submit("spin")
    pool.close(timeout=0)
    assert not any(alive(pid) for pid in pids)
    assert not pool.pids
