"""How fast is the pool, beside the executors that it could be built on and the public package?

    python bench/pool.py             round trip and burst, every contender that can be imported here, in turns
    python bench/pool.py faults      what a dead worker costs
    python bench/pool.py arrays      from what size on memory beats the socket

The contenders need no more than `pip install loky pebble MLPool`; those that are missing are left out.
"""

import asyncio
import contextlib
import importlib.util
import logging
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # before this folder, where `pool` is this file

from pool import ModelPool, WorkerLost, wire

WORKERS = 2
ROUNDS = 3
TRIPS = 500
BURST = 5_000
SPAWN = multiprocessing.get_context("spawn")


def load() -> int:
    return 1


def score(model: int, x: Any = None) -> Any:
    return x


def echo(x: Any) -> Any:
    return x


def die(model: int) -> None:
    os._exit(1)


def total(model: int, array: Any) -> float:
    return float(array[::512].sum())


@contextlib.contextmanager
def ours() -> Iterator[Callable[[Any], Any]]:
    with ModelPool(load, score, workers=WORKERS) as pool:
        yield lambda x: pool.submit(x=x).result


@contextlib.contextmanager
def standard_library() -> Iterator[Callable[[Any], Any]]:
    with ProcessPoolExecutor(WORKERS, mp_context=SPAWN) as executor:
        yield lambda x: executor.submit(echo, x).result


@contextlib.contextmanager
def loky() -> Iterator[Callable[[Any], Any]]:
    from loky import ProcessPoolExecutor as Loky

    with Loky(WORKERS) as executor:
        yield lambda x: executor.submit(echo, x).result


@contextlib.contextmanager
def pebble() -> Iterator[Callable[[Any], Any]]:
    from pebble import ProcessPool

    with ProcessPool(WORKERS, context=SPAWN) as executor:
        yield lambda x: executor.schedule(echo, (x,)).result


@contextlib.contextmanager
def ml_pool() -> Iterator[Callable[[Any], Any]]:
    from ml_pool import MLPool

    logging.disable(logging.ERROR)  # it writes a line a job
    with MLPool(models_to_load={"one": load}, nb_workers=WORKERS, message_queue_size=BURST) as pool:
        yield lambda x: partial(pool.get_result, pool.create_job(score, "one", kwargs={"x": x}))
    logging.disable(logging.NOTSET)


CONTENDERS = {"pool": ours, "concurrent": standard_library, "loky": loky, "pebble": pebble, "ml_pool": ml_pool}


def speed() -> None:
    """Every contender starts, makes round trips and takes a burst, one after the other, round after round."""
    present = {name: make for name, make in CONTENDERS.items() if importlib.util.find_spec(name)}
    seen: dict[str, list[tuple[float, ...]]] = {name: [] for name in present}
    for _ in range(ROUNDS):
        for name, make in present.items():
            began = time.perf_counter()
            with make() as submit:
                submit(0)()
                start = time.perf_counter() - began
                trips = sorted(_time(lambda: submit(1)()) for _ in range(TRIPS))
                burst = BURST / _time(lambda: [wait() for wait in [submit(1) for _ in range(BURST)]])
            seen[name].append((start, statistics.median(trips) * 1e3, trips[TRIPS * 99 // 100] * 1e3, burst))
    print(f"{WORKERS} workers; median of {ROUNDS} rounds", "start s", "trip ms", "p99 ms", "jobs/s", sep="\t")
    for name, rows in seen.items():
        start, trip, p99, burst = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:24}\t{start:.2f}\t{trip:.3f}\t{p99:.2f}\t{burst:,.0f}")
    with ModelPool(load, score, workers=WORKERS) as pool:
        inputs = [{"x": x} for x in range(64)]
        rate = 64 * 500 / _time(lambda: [job.result() for job in [pool.submit_many(inputs) for _ in range(500)]])
        print(f"pool, submit_many of 64\t\t\t\t{rate:,.0f}")
        trips = asyncio.run(_asyncio_trips(pool))
        print(
            f"pool, await score\t\t{statistics.median(trips) * 1e3:.3f}\t{sorted(trips)[TRIPS * 99 // 100] * 1e3:.2f}"
        )


async def _asyncio_trips(pool: ModelPool) -> list[float]:
    trips = []
    for _ in range(TRIPS):
        began = time.perf_counter()
        await pool.score(x=1)
        trips.append(time.perf_counter() - began)
    return trips


def faults() -> None:
    """How long until the caller hears of a dead worker, and until the pool is whole again."""
    heard, healed = [], []
    with ModelPool(load, die, workers=WORKERS) as pool:
        for _ in range(10):
            began = time.perf_counter()
            try:
                pool.submit().result()
            except WorkerLost:
                heard.append(time.perf_counter() - began)
            while len(pool.pids) < WORKERS:
                time.sleep(0.001)
            healed.append(time.perf_counter() - began)
    print(f"WorkerLost after {max(heard) * 1e3:.0f} ms at most, whole after {max(healed) * 1e3:.0f} ms, of 10 deaths")


def arrays() -> None:
    """The round trip of an array through memory and through the socket, in turns."""
    import numpy as np

    usual = wire.LARGE
    print("kB", "memory ms", "socket ms", sep="\t")
    with ModelPool(load, total, workers=1) as pool:
        for size in (16, 64, 128, 256, 1024, 4096, 16384):
            array = np.ones(size * 128)
            times: dict[int, list[float]] = {1: [], 2**40: []}
            for _ in range(max(20, 2000 // size)):
                for wire.LARGE in times:
                    times[wire.LARGE].append(_time(partial(_trip, pool, array)))
            print(size, *(f"{statistics.median(column) * 1e3:.3f}" for column in times.values()), sep="\t")
    wire.LARGE = usual


def _trip(pool: ModelPool, array: Any) -> None:
    pool.submit(array).result()


def _time(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


if __name__ == "__main__":
    {"": speed, "faults": faults, "arrays": arrays}[sys.argv[1] if len(sys.argv) > 1 else ""]()
