"""A program of a design as a child process: started, waited for, ended with the bench."""

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGKILL

import psutil  # type: ignore[import-untyped]

from devstack import tether
from devstack.local import ROOT

START_SECONDS = 60


class NotReady(Exception):
    """A program did not come up; the message ends with its log."""


@contextmanager
def program(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    guardian = tether.guard(process, SIGKILL)
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):  # BentoML's workers are in groups of their own
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)  # what it has measured is told already
        process.wait()
        guardian.kill()
        guardian.communicate()


def wait_until_ready(
    port: int, started: Mapping[str, subprocess.Popen[bytes]], logs: Mapping[str, Path], path: str = "/health/ready"
) -> None:
    """Wait until the port says ready. Raises NotReady."""
    until = time.monotonic() + START_SECONDS
    while not _is_ready(port, path):
        ended = [part for part, process in started.items() if process.poll() is not None]
        if ended or time.monotonic() > until:
            part = ended[0] if ended else next(iter(started))
            tail = logs[part].read_text(errors="replace")[-2000:]
            raise NotReady(f"{part} {'ended' if ended else 'is not ready'}:\n{tail}")
        time.sleep(0.05)


def _is_ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
