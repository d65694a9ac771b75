"""CPU and memory are those of the programs that were named, with their children, also of those that have ended."""

import os
import subprocess
import sys
import time

import pytest

from bench.processes import INTERVAL, Watch
from tests.running import eventually

BURN = "import time; end = time.process_time() + 0.6\nwhile time.process_time() < end: pass"
CHILD = BURN + "\nprint(time.process_time(), flush=True); input()"
PARENT = (
    f"import subprocess, sys; input(); subprocess.run([sys.executable, '-c', {CHILD!r}]); print(flush=True); input()"
)
ROUNDED = 4 / os.sysconf("SC_CLK_TCK")
"""Seconds by which the kernel's count of two processes, each in user and in system mode, is rounded down at most."""

HOARD = "kept = bytearray(b'x' * 100_000_000); print(flush=True); input()"


def test_what_a_child_burns_is_its_parents_though_it_has_ended() -> None:
    command = [sys.executable, "-c", PARENT]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent,
        Watch({"it": parent.pid}) as watch,
    ):
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write("\n")  # it begins when it is watched
        parent.stdin.flush()
        burned = float(parent.stdout.readline())
        eventually(lambda: watch.usage["it"].cpu_seconds >= burned - ROUNDED)
        parent.stdin.write("\n")
        parent.stdin.flush()
        parent.stdout.readline()  # the child has ended
        time.sleep(2 * INTERVAL)
        parent.kill()
    assert burned - ROUNDED <= watch.usage["it"].cpu_seconds < 2 * burned
    assert watch.usage["it"].processes == 2


def test_the_peak_of_memory_is_seen_and_programs_are_told_apart() -> None:
    command = [sys.executable, "-c", HOARD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as hoarder:
        assert hoarder.stdout is not None
        hoarder.stdout.readline()
        with Watch({"hoarder": hoarder.pid, "nobody": 2**22 + 1}) as watch:
            pass
        hoarder.communicate(b"\n")
    assert watch.usage["hoarder"].peak_bytes == pytest.approx(110_000_000, rel=0.15)
    assert watch.usage["nobody"].peak_bytes == 0


def test_what_was_used_before_the_run_does_not_count() -> None:
    command = [sys.executable, "-c", BURN + "\nprint(flush=True); time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        with Watch({"busy": busy.pid}) as watch:
            time.sleep(0.3)
        busy.kill()
    assert watch.usage["busy"].cpu_seconds < 0.2
