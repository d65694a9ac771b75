"""One program of the platform as a child process."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from devstack import tether
from devstack.local import ROOT
from devstack.log_file import LogFile


class Program:
    """A child in a process group of its own, so that the terminal's Ctrl-C reaches it through us only."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], logs: Path) -> None:
        self.name = name
        self.log = LogFile(logs / f"{name}.log")
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._clear_away()
        self.log.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log.open() as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guardian = tether.guard(self._process, signal.SIGTERM)

    def status(self) -> int | None:
        """Return the exit status of a program that has ended, of which then nothing is left."""
        status = None if self._process is None else self._process.poll()
        if status is not None:
            self._clear_away()
        return status

    def ask_to_stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stop(self, until: float) -> None:
        """Wait for the program to end, and make it at `until` (time.monotonic)."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0, until - time.monotonic()))
            self._clear_away()

    def _clear_away(self) -> None:
        """End the program, its own children, and the guardian."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        self._guardian.kill()
        self._guardian.wait()
        if self._guardian.stdin is not None:
            self._guardian.stdin.close()
