"""The generator tells what happened, whatever the server does; the server here is a stand-in with faults on demand."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench import executor, shapes
from bench.connection import LoadTarget, WrongUrl
from bench.executor import Run
from bench.result import result
from bench.shapes import RateOverTime, SchedulePart

Serve = Callable[[int], tuple[float, bytes]]
"""Number of the request → seconds until the answer, and its bytes; b"" cuts the connection."""


def answer(status: int, body: bytes = b'{"task_id": "1", "status": "PENDING"}') -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


@contextmanager
def server(serve: Serve) -> Iterator[LoadTarget]:
    """Answer each request as `serve` says, one after the other on a connection."""
    number = 0
    port: list[int] = []
    loop = asyncio.new_event_loop()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                await reader.readexactly(length)
                number += 1
                seconds, reply = serve(number)
                await asyncio.sleep(seconds)
                if not reply:
                    break
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        writer.close()

    async def run() -> None:
        listening = await asyncio.start_server(talk, "127.0.0.1", 0)
        port.append(listening.sockets[0].getsockname()[1])
        ready.set()
        await over.wait()
        listening.close()
        talks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.sleep(0)  # the connections that they closed are lost in the next turn
        await asyncio.sleep(0)

    ready, over = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    ready.wait(60)
    try:
        yield LoadTarget.of(f"http://127.0.0.1:{port[0]}")
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def play(target: LoadTarget, rate: float, seconds: float, connections: int = 50, timeout: float = 60) -> Run:
    made = shapes.make(RateOverTime("constant", rate, 0, seconds, 0), [SchedulePart("submit")], seed=1)
    return executor.play(made, target, connections=connections, timeout=timeout)


def test_a_server_that_stalls_cannot_hide() -> None:
    """In a stall of half a second, 50 requests are due: all of them are late, not only the one that was under way."""
    begin: list[float] = []

    def stall(number: int) -> tuple[float, bytes]:
        begin.append(time.monotonic())
        since = time.monotonic() - begin[0]
        return (max(0, 0.8 - since) if since > 0.3 else 0), answer(202)

    with server(stall) as target:
        run = play(target, 100, 1.2)
    waits = sorted(request.answered - request.due for request in run.seen)
    assert len(waits) == 120
    assert sum(wait > 0.1 for wait in waits) >= 35
    assert waits[-1] >= 0.35


def test_requests_go_out_when_they_are_due_though_no_answer_has_come() -> None:
    with server(lambda number: (5, answer(202))) as target:
        run = play(target, 100, 0.5, timeout=60)
    assert len(run.seen) == 50
    assert max(request.sent for request in run.seen) < min(request.answered for request in run.seen)


def test_refused_and_failed_are_counted_apart() -> None:
    replies = {
        1: answer(503, b'{"type": "urn:x:backlog-full"}'),
        2: answer(429),
        3: answer(500),
        4: b"",
        5: b"nonsense\r\n\r\n",
    }
    with server(lambda number: (0, replies.get(number, answer(202)))) as target:
        run = play(target, 100, 0.1)
    counts = result(run, None, {})["counts"]
    assert (counts["requests"], counts["accepted"], counts["refused"], counts["failed"]) == (10, 5, 2, 3)
    assert {"503 backlog-full", "429", "500", "connection lost", "not HTTP"} == {cause for cause, _ in counts["causes"]}


def test_no_answer_within_the_time_is_a_failure_and_the_run_ends() -> None:
    begin = time.monotonic()
    with server(lambda number: (60, answer(202))) as target:
        run = play(target, 50, 0.2, timeout=0.5)
    assert time.monotonic() - begin < 60, "it waited for the answers"
    assert {request.status for request in run.seen} == {0}
    assert {request.body for request in run.seen} == {b"timeout"}


def test_nobody_there_is_said() -> None:
    run = play(LoadTarget.of("http://127.0.0.1:9"), 50, 0.1)
    assert result(run, None, {})["counts"]["failed"] == 5


def test_a_generator_that_cannot_keep_up_says_so() -> None:
    """A rate that no Python program reaches on one core."""
    with server(lambda number: (0, answer(202))) as target:
        run = play(target, 300_000, 0.15, timeout=60)
    notes = " ".join(result(run, None, {})["generator"]["notes"])
    assert "over its capacity" in notes


def test_too_few_connections_are_said() -> None:
    with server(lambda number: (0.05, answer(202))) as target:
        run = play(target, 200, 0.5, connections=2)
    generator = result(run, None, {})["generator"]
    assert "All 2 connections were busy" in " ".join(generator["notes"])


def test_a_closed_loop_stops_at_the_number_of_requests_or_at_its_time() -> None:
    with server(lambda number: (0.01, answer(202))) as target:
        counted = executor.saturate(target, "submit", 1, connections=4, seconds=10, requests=20)
        timed = executor.saturate(target, "submit", 1, connections=4, seconds=0.3)
    assert len(counted.seen) == 20
    assert timed.took >= 0.3


def test_a_task_that_is_followed_is_asked_for_until_it_has_ended() -> None:
    def serve(number: int) -> tuple[float, bytes]:
        states = [b"PENDING", b"STARTED", b"SUCCESS"]
        body = json.dumps({"task_id": "1", "status": states[min(number - 1, 2)].decode()}).encode()
        return 0.02, answer(202 if number == 1 else 200, body)

    with server(serve) as target:
        run = executor.saturate(target, "submit-wait", 1, connections=1, seconds=5, requests=1)
    (request,) = run.seen
    assert request.ended is not None
    assert request.ended - request.due >= 0.06


@pytest.mark.parametrize("url", ["https://localhost", "localhost:80", "http://", "http://localhost/path"])
def test_a_url_that_the_generator_cannot_speak_to_is_refused(url: str) -> None:
    with pytest.raises(WrongUrl):
        LoadTarget.of(url)


def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    """The server cuts every connection after one answer; each request gets a connection that lives."""
    with server(lambda number: (0, answer(202).replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))) as target:
        run = executor.saturate(target, "submit", 1, connections=2, seconds=5, requests=20)
    assert {request.status for request in run.seen} == {202}
