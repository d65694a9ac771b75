"""A worker's event loop loses nothing of what it was reading, and does not wait for what will not come."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from inspect import isgenerator
from typing import Any

import pytest
from celery.concurrency.prefork import TaskPool
from kombu import Connection, Consumer, Exchange, Queue
from kombu.asynchronous import set_event_loop
from kombu.asynchronous.timer import Timer

import worker.celery.delivery  # noqa: F401 - sets how long an ending process waits
from broker.config import OPTIONS, create_celery
from worker.celery.transport import EventLoop, Transport
from worker.settings import WorkerSettings

LARGE = 1_000_000
"""Bytes of a result: more than a pipe holds, so that it is mostly read in pieces."""

TURNS = 100

GRACE_SECONDS = WorkerSettings.model_fields["worker_grace_seconds"].default

pytestmark = pytest.mark.timeout(120)


def large_result() -> bytes:
    return bytes(LARGE)


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    loop = EventLoop(Timer())
    set_event_loop(loop)
    loop.call_repeatedly(0.01, lambda: None)  # so that no turn takes long
    yield loop
    loop.close()
    set_event_loop(None)


@pytest.fixture
def pool(loop: EventLoop, redis_url: str) -> Iterator[TaskPool]:
    app = create_celery(redis_url)
    pool = TaskPool(1, app=app, initargs=(app, "worker@here"), threads=False)
    pool.start()
    pool.register_with_event_loop(loop)
    yield pool
    pool.terminate()


def turn_until(loop: EventLoop, done: Callable[[], object]) -> None:
    while not done():
        loop.run_once()


def half_read(loop: EventLoop, pool: TaskPool, results: list[bytes]) -> int:
    """Let the pool return results until the loop has read a part of one; return how many it has read whole."""

    def is_half_read() -> bool:
        return any(isgenerator(reader) for reader, _ in loop.readers.values())

    while True:
        before = len(results)
        pool.apply_async(large_result, callback=results.append, error_callback=lambda _: None)
        turn_until(loop, lambda before=before: is_half_read() or len(results) > before)
        if is_half_read():
            return len(results)


def test_a_result_that_was_half_read_when_redis_went_is_read_to_its_end(loop: EventLoop, pool: TaskPool) -> None:
    results: list[bytes] = []
    for _ in range(3):
        whole = half_read(loop, pool, results)
        loop.reset()  # so does Celery when it loses the connection, and when it is back:
        pool.register_with_event_loop(loop)
        turn_until(loop, lambda whole=whole: len(results) > whole)
    assert set(results) == {bytes(LARGE)}


def test_a_worker_stops_soon_that_has_forgotten_a_chunk_under_way(loop: EventLoop, pool: TaskPool) -> None:
    """Its main process forgets a chunk whose start it has not read yet, and then reads no result of it."""
    scored: list[bytes] = []
    pool.apply_async(bytes, callback=scored.append)
    turn_until(loop, lambda: scored)
    (pid,) = pool.info["processes"]
    os.kill(pid, signal.SIGSTOP)
    pool.apply_async(bytes)
    for _ in range(TURNS):
        loop.run_once()
    pool.flush()
    os.kill(pid, signal.SIGCONT)
    began = time.monotonic()
    pool.stop()
    assert time.monotonic() - began < GRACE_SECONDS


@pytest.mark.parametrize("remove", ["remove", "remove_reader"])
def test_what_was_begun_is_forgotten_with_its_pipe(loop: EventLoop, remove: str) -> None:
    """The number of a process's pipe that was closed may be that of the next one's."""
    heard: list[bytes] = []
    reads, writes = os.pipe()

    def begun() -> Iterator[None]:
        while True:
            yield

    reader = begun()
    next(reader)
    loop.add_reader(reads, reader)
    loop.reset()
    getattr(loop, remove)(reads)
    loop.add_reader(reads, lambda: heard.append(os.read(reads, 1)))
    os.write(writes, b"x")
    for _ in range(TURNS):
        loop.run_once()
    os.close(reads)
    os.close(writes)
    assert heard == [b"x"]


def test_a_connection_that_a_forked_process_still_has_leaves_the_loop_before_it_is_closed(
    loop: EventLoop, redis_url: str
) -> None:
    heard: list[Any] = []
    orders = Exchange("orders", type="fanout")
    options = OPTIONS["broker_transport_options"]
    with Connection(redis_url, transport=Transport, transport_options=options) as connection:
        channel = connection.channel()
        with Consumer(channel, [Queue("orders", orders)], on_message=heard.append):
            connection.register_with_event_loop(loop)
            turn_until(loop, lambda: channel.subclient.subscribed)
            subscription = channel.subclient.connection
            held = os.dup(subscription._sock.fileno())  # as a process has it that is forked now
            subscription.disconnect()
            for _ in range(TURNS):
                loop.run_once()
            connection.Producer().publish({}, exchange=orders)
            turn_until(loop, lambda: heard)
            os.close(held)


def test_nobody_waits_for_a_command_that_has_not_come(redis_url: str) -> None:
    """The loop may say that there is one although there is none, and a worker that waited for it would be deaf."""
    commands = Exchange("commands", type="fanout")
    options = OPTIONS["broker_transport_options"]
    with Connection(redis_url, transport=Transport, transport_options=options) as connection:
        channel = connection.channel()
        heard: list[Any] = []
        with Consumer(channel, [Queue("commands", commands)], on_message=heard.append):
            while not channel.subclient.subscribed:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.1)
            with ThreadPoolExecutor(1) as receiving:
                assert receiving.submit(channel._receive).result(timeout=GRACE_SECONDS) is False
            connection.Producer().publish({}, exchange=commands)
            while not heard:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.1)
