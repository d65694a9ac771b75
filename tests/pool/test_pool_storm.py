"""Everything at once: every job ends, the right way, and the pool is whole afterwards."""

import os
import random
import signal
import time
from concurrent.futures import CancelledError, wait

from pool import Job, JobTimeout, ModelPool, WorkerLost
from tests.pool.conftest import eventually
from tests.pool.scoring import load, score


def test_in_a_storm_of_faults_every_job_ends() -> None:
    chance = random.Random(7)  # noqa: S311
    with ModelPool(load, score, workers=2, cancel_grace=0.02) as pool:
        jobs: list[tuple[Job, int | str]] = []
        for i in range(800):
            kind = chance.random()
            if kind < 0.01:
                jobs.append((pool.submit("die"), "lost"))
            elif kind < 0.02:
                jobs.append((pool.submit("spin", timeout=0.02), "late"))
            elif kind < 0.04:
                job = pool.submit("sleep", 0.01)
                jobs.append((job, "cancelled"))
                time.sleep(chance.random() / 100)
                job.cancel()
            elif kind < 0.05 and pool.pids:
                os.kill(chance.choice(pool.pids), signal.SIGKILL)
            else:
                jobs.append((pool.submit("echo", value=i, retry=True), i))
        assert not wait([job for job, _ in jobs], timeout=60).not_done
        for job, expected in jobs:
            if isinstance(expected, int):
                # With `retry`, a job is lost only when two processes died under it.
                assert isinstance(job.exception(), WorkerLost) or job.result() == expected
            elif job.cancelled():
                assert expected == "cancelled"
            else:
                assert job.exception() is None or isinstance(job.exception(), WorkerLost | JobTimeout | CancelledError)
        eventually(lambda: len(pool.pids) == 2)
        assert [pool.submit("echo", value=i).result(timeout=60) for i in range(100)] == list(range(100))
