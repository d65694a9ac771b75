"""Programs with a pool that end in every way there is: `python -m tests.pool.programs NAME`, which prints its pids."""

import os
import signal
import sys
import threading
import time

from pool import ModelPool, PoolClosed
from tests.pool.conftest import eventually
from tests.pool.scoring import load, score


def busy() -> ModelPool:
    pool = ModelPool(load, score, workers=2)
    print(os.getpid(), *pool.pids, flush=True)
    jobs = [pool.submit("spin") for _ in range(3)]
    eventually(jobs[1].running)
    print("busy", flush=True)
    return pool


def leaves_without_closing() -> None:
    busy()


def leaves_with_a_waiting_thread() -> None:
    pool = busy()
    threading.Thread(target=pool.submit("spin").exception, daemon=True).start()


def raises_inside() -> None:
    with busy():
        raise ValueError("in the block")


def waits() -> None:
    with busy() as pool:
        pool.submit("echo").result()


def forks() -> None:
    """Fork as a server that loads before it forks: the child may not use the pool, and must not harm it."""
    pool = ModelPool(load, score, workers=1)
    print(os.getpid(), *pool.pids, flush=True)
    child = os.fork()
    if child == 0:
        try:
            pool.submit("pid")
        except PoolClosed:
            sys.exit(0)
        sys.exit(1)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    assert pool.submit("pid").result(timeout=60) == pool.pids[0]
    print("busy", flush=True)


def dies_with_a_forked_child_left() -> None:
    busy()
    child = os.fork()
    if child == 0:
        os.closerange(1, 3)  # what reads this program's output shall not wait
        time.sleep(4)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
