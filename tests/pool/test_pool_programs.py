"""However a program with a pool ends, it ends at once and leaves no process behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.pool.conftest import alive, eventually
from tests.running import ROOT


@contextmanager
def program(name: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Run one of programs.py in a process group of its own, until it is busy."""
    command = [sys.executable, "-m", "tests.pool.programs", name]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        workers = [int(pid) for pid in process.stdout.readline().split()[1:]]
        assert process.stdout.readline() == "busy\n", process.communicate()[1]
        yield process, workers
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("leaves_without_closing", 0, ""),
        ("leaves_with_a_waiting_thread", 0, ""),
        ("raises_inside", 1, "ValueError: in the block"),
        ("forks", 0, ""),
        ("dies_with_a_forked_child_left", -signal.SIGKILL, None),
    ],
)
def test_a_program_that_ends_by_itself_leaves_no_worker(name: str, status: int, words: str | None) -> None:
    with program(name) as (process, workers):
        assert process.wait(timeout=60) == status
        eventually(lambda: not any(alive(pid) for pid in workers), seconds=3)
        if words is not None:
            assert process.stderr is not None
            errors = process.stderr.read()
            assert words in errors if words else not errors


@pytest.mark.parametrize(
    ("number", "to"), [("SIGINT", "all"), ("SIGTERM", "one"), ("SIGTERM", "all"), ("SIGKILL", "one")]
)
def test_a_program_that_is_ended_leaves_no_worker(number: str, to: str) -> None:
    with program("waits") as (process, workers):
        send = os.killpg if to == "all" else os.kill
        send(process.pid, signal.Signals[number])
        status = process.wait(timeout=60)
        assert status == (-signal.Signals[number])
        eventually(lambda: not any(alive(pid) for pid in workers), seconds=3)
        assert process.stderr is not None
        errors = process.stderr.read()
        assert ("KeyboardInterrupt" in errors) == (number == "SIGINT")
        assert "model-pool-worker" not in errors
