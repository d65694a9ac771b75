"""Programs forked from a process that has imported them: a start costs a tenth of the CPU, and there are hundreds.

What runs is what `python -m` runs, in a process of its own. Those in tests/e2e are started afresh, as a user does.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory

IMPORTED = [
    *(
        "handler.app",
        "console.operations",
        "handler.connection",
        "uvicorn.main",
        "uvicorn.protocols.http.httptools_impl",
        "uvloop",
    ),
    *("worker.celery.app", "celery.apps.worker", "celery.concurrency.prefork", "kombu.transport.redis", "xgboost"),
    *("rescue.rounds", "rescue.jobs"),
    "cli.models.group",
]
"""What the programs import sooner or later. Loading a model, and whatever starts a thread, comes after the fork."""

ROOT = Path(__file__).parents[1]

PROGRAMS = frozenset({"uvicorn", "worker", "rescue"})
_READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ", "OPENBLAS_", "LD_")
"""Beginnings of settings that Python or a library reads once, when it starts."""


class ForkedProcess:
    """As much of subprocess.Popen as the tests use."""

    def __init__(self, process: ForkServerProcess) -> None:
        assert process.pid is not None
        self._process = process
        self.pid: int = process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return code

    def send_signal(self, how: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, how)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def can_fork(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Say whether a program with these settings may be forked, which has read some settings already."""
    if environment.get("ENGINE") == "pool":  # whose processes are spawned, and whose own one must hold no runtime
        return False
    return arguments[0] in PROGRAMS and not any(
        name.startswith(_READ_AT_START) and os.environ.get(name) != value for name, value in environment.items()
    )


def fork(arguments: Sequence[str], environment: Mapping[str, str], log: Path, root: Path) -> ForkedProcess:
    """Run `python -m` with these arguments in a session of its own, its output in the log."""
    log.touch()
    process = _server().Process(target=_run, args=(list(arguments), dict(environment), log, root))
    process.start()
    _running.append(forked := ForkedProcess(process))
    return forked


def run_command(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run `python -m` with these arguments to its end; return its status and what it printed, errors in between."""
    with TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        status = fork(arguments, environment, log, ROOT).wait()
        return status, log.read_text()


_running: list[ForkedProcess] = []


def _end_all() -> None:
    """Kill what a test has left: multiprocessing would wait for its end."""
    for process in _running:
        process.kill()


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    atexit.register(_end_all)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return context


def _run(arguments: list[str], environment: dict[str, str], log: Path, root: Path) -> None:
    os.setsid()
    with log.open("a") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    os.chdir(root)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # multiprocessing's processes end without them
