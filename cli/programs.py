"""One program of the platform as a child process: started, watched, started again when it ends, stopped."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cli import tether
from cli.local import ROOT

RESTARTS, WINDOW = 5, 60.0
"""A program that ends more often than this many times in so many seconds will not come right by itself."""

LOG_LINES = 20


class KeepsEnding(Exception):
    """A program ended again and again; the message ends with the last lines of its log."""


class Program:
    """A child in a process group of its own, so that the terminal's Ctrl-C reaches it through us only."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], logs: Path) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        self._command = command
        self._environment = environment
        self._ends: deque[float] = deque(maxlen=RESTARTS)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log.open("ab") as output:
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

    def revive(self) -> int | None:
        """Start the program again if it has ended, and return its exit status then; raises KeepsEnding."""
        if self._process is None or (status := self._process.poll()) is None:
            return None
        self._clear_away()
        now = time.monotonic()
        if len(self._ends) == RESTARTS and now - self._ends[0] < WINDOW:
            raise KeepsEnding(f"{self.name} keeps ending, the last time with status {status}:\n{self.last_lines()}")
        self._ends.append(now)
        self.start()
        return status

    def ask_to_stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)

    def wait(self, until: float) -> bool:
        """Return whether the program has ended by `until` (time.monotonic)."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        self._clear_away()
        return True

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._clear_away()

    def last_lines(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES:])

    def _clear_away(self) -> None:
        """End what the program may have left behind: its own children, and our guardian."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._guardian.kill()
        self._guardian.wait()
        if self._guardian.stdin is not None:
            self._guardian.stdin.close()
