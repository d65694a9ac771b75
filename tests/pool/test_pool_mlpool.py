"""Code written for the public MLPool package, as its two READMEs show it, runs on this pool."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from pool import LoadFailed
from pool.mlpool import JobWithSuchIDDoesntExistError, MLPool, UserProvidedCallableError
from tests.pool.conftest import eventually
from tests.pool.scoring import double, load, load_badly, score
from tests.running import ROOT

# The examples' shape: functions in the main module, the pool a global that the functions use.
README = """
from functools import partial

from ml_pool import MLPool
from ml_pool.config import Config
from ml_pool.exceptions import MLWorkerFailedBecauseOfUserProvidedCodeError, UserProvidedCallableFailedError
from ml_pool.logger import get_logger
from ml_pool.utils import get_new_job_id, timer

logger = get_logger("example")


def load_model(path):
    return path


@timer
def timed():
    return get_new_job_id()


def score_model(model, features):
    return model, sum(features)


def before_0_1():
    job_id = pool.schedule_model_scoring(features=[6.0, 2.0])
    print(pool.get_scoring_result(job_id, wait_if_not_available=True))


def since_0_1():
    job_id = pool.create_job(score_model_function=score_model, model_name="iris", kwargs={"features": [1, 2]})
    print(pool.get_result(job_id))


if __name__ == "__main__":
    assert timed() != timed()
    with MLPool(load_model_func=partial(load_model, "a.json"), score_model_func=score_model, nb_workers=2) as pool:
        before_0_1()
    with MLPool(models_to_load={"iris": partial(load_model, "b.json")}, nb_workers=1) as pool:
        since_0_1()
"""


def test_programs_written_for_the_public_package_run_unchanged(tmp_path: Path) -> None:
    program = tmp_path / "example.py"
    program.write_text(README)
    path = os.pathsep.join([str(ROOT), str(ROOT / "pool" / "compat")])
    ran = subprocess.run(
        [sys.executable, str(program)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.stdout.count("Function timed took ") == 2
    assert ran.stdout.endswith("('a.json', 8.0)\n('b.json', 3)\n")
    assert ran.stderr == ""


@pytest.fixture(scope="module")
def pool() -> Iterator[MLPool]:
    with MLPool(models_to_load={"one": load, "two": load}, nb_workers=1, message_queue_size=1) as pool:
        yield pool


async def test_the_asynchronous_names_do_the_same(pool: MLPool) -> None:
    ids = await asyncio.gather(*(pool.create_job_async(double, "two", args=(i,)) for i in range(20)))
    assert await asyncio.gather(*(pool.get_result_async(job_id) for job_id in ids)) == [2 * i for i in range(20)]


def test_a_result_can_be_had_once(pool: MLPool) -> None:
    job_id = pool.create_job(double, "one", kwargs={"x": 4})
    assert job_id
    assert pool.get_result(job_id) == 8
    for unknown in (job_id, uuid4()):
        with pytest.raises(JobWithSuchIDDoesntExistError):
            pool.get_result(unknown)


def test_without_waiting_there_may_be_no_result_and_no_room(pool: MLPool, tmp_path: Path) -> None:
    release = tmp_path / "release"
    running = pool.create_job(score, "one", args=("wait for", release))
    assert running
    eventually(lambda: pool.create_job(double, "one", kwargs={"x": 1}, wait_if_full=False) is None)
    assert pool.get_result(running, wait_if_unavailable=False) is None
    release.touch()
    assert pool.get_result(running) == "released"


def test_a_cancelled_job_is_gone_and_an_error_is_the_job_s_own(pool: MLPool) -> None:
    job_id = pool.create_job(score, "one", args=("sleep", 0.1))
    assert job_id
    pool.cancel_job(job_id)
    pool.cancel_job(job_id)
    with pytest.raises(JobWithSuchIDDoesntExistError):
        pool.get_result(job_id)
    failing = pool.create_job(score, "one", args=("raise", ValueError("in the user's code")))
    assert failing
    with pytest.raises(ValueError, match="in the user's code"):
        pool.get_result(failing)


async def test_the_first_names_score_with_the_pool_s_function() -> None:
    with MLPool(load_model_func=load, score_model_func=double, nb_workers=1) as pool:
        job_id = await pool.schedule_model_scoring_async(x=21)
        assert await pool.get_scoring_result_async(job_id) == 42
    with pytest.raises(UserProvidedCallableError):
        MLPool(load_model_func=load)
    with pytest.raises(LoadFailed):
        MLPool(models_to_load={"one": partial(load_badly, "one.json")}, nb_workers=1)


def test_results_that_nobody_fetches_expire() -> None:
    with MLPool(models_to_load={"one": load}, nb_workers=1, result_ttl=0) as pool:
        expired = pool.create_job(double, "one", kwargs={"x": 1})
        assert expired
        eventually(lambda: expired in pool._done)
        with pytest.raises(JobWithSuchIDDoesntExistError):
            pool.get_result(expired)
        with pytest.raises(ValueError, match="no model is named 'two'"):
            pool.create_job(double, "two", kwargs={"x": 2})
