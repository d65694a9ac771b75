"""A server process tied to ours: one run a folder, no terminal's Ctrl-C, and no server left when we are killed."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil  # type: ignore[import-untyped]

from devstack.errors import AlreadyRunning, StartFailed
from devstack.log_file import LogFile
from devstack.unprivileged import Account, hand_over

START_SECONDS = 60  # a start after a crash replays up to max_wal_size of log first
STOP_SECONDS = 15
TAKE_SECONDS = 1  # a child that another thread has just forked keeps our lock until it becomes its program
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}  # no PGPORT, no LD_LIBRARY_PATH of the caller

# Reads until our end of the pipe closes, which a kill -9 cannot prevent. PR_SET_PDEATHSIG would do so on Linux only,
# and kills the server when the thread that started it ends.
_GUARDIAN = 'read -r _; kill -s "$1" "$2" 2>/dev/null'


@dataclass(frozen=True)
class ServerProcess:
    """A server that answers.

    To start it again after a crash: `stop()`, then the same start function with the same folder and `port=`.
    """

    url: str = field(repr=False)  # it holds the password
    port: int
    folder: Path
    log: LogFile
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals
    lock: IO[str]
    guardian: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the server in an orderly way, by force after `STOP_SECONDS`, and free its folder. Harmless twice."""
        try:
            end(self.process, self.stop_signal)
        finally:
            self.guardian.kill()
            self.guardian.wait()
            if self.guardian.stdin is not None:
                self.guardian.stdin.close()
            self.lock.close()


def take(folder: Path) -> IO[str]:
    """Take the folder for this run until the returned file closes, at the latest when this process ends."""
    lock = (folder / "lock").open("a+")
    deadline = time.monotonic() + TAKE_SECONDS
    while not _lock(lock):
        if time.monotonic() > deadline:
            lock.seek(0)
            holder = lock.read()
            lock.close()
            raise AlreadyRunning(
                f"another run (process {holder or 'unknown'}) uses {folder}: stop that one first, "
                "or choose another folder: MILLRACE_FOLDER=… make up"
            )
        time.sleep(0.01)
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def stop_leftovers(data: Path, program: str, stop_signal: signal.Signals) -> None:
    """End what a killed run left: the processes of this program whose working folder is `data`.

    Call it with the folder taken. Processes of a Postgres whose head was killed end by themselves; waiting for them
    matters, because a new one refuses to start before the last has let go of the shared memory.
    """
    left = [process for process in psutil.process_iter() if _works_in(process, data, program)]
    for process in left:
        with suppress(psutil.NoSuchProcess, IndexError):
            if not process.cmdline()[0].startswith(f"{program}: "):  # so do children of Postgres rename themselves
                process.send_signal(stop_signal)
    deadline = time.monotonic() + STOP_SECONDS
    # Not psutil's wait: where nobody reaps orphans (a container without an init) an ended process stays listed.
    while left := [process for process in left if _works_in(process, data, program)]:
        if time.monotonic() > deadline:
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        time.sleep(0.01)


def launch(
    command: list[str],
    cwd: Path,
    log: LogFile,
    account: Account,
    *,
    ready: Callable[[int], bool],
    stop_signal: signal.Signals,
    give_up: Callable[[], bool],
    feed: str = "",
) -> subprocess.Popen[bytes]:
    """Start a server, write `feed` to its standard input, and wait until `ready(its process id)` or `give_up()`."""
    with log.open() as output:
        for path in log.path.parent.iterdir():
            hand_over(path, account)  # a later run may be the account's own, without sudo
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
            start_new_session=True,
        )
    try:
        assert process.stdin is not None  # noqa: S101 (for mypy: it is a pipe)
        with suppress(BrokenPipeError), process.stdin:  # it ended at once: said below, with its log
            process.stdin.write(feed.encode())
        deadline = time.monotonic() + START_SECONDS
        name = Path(command[0]).name
        while not ready(process.pid):
            if process.poll() is not None:
                raise StartFailed(f"{name} ended with status {process.returncode}: {log.cause()}\n{log.last_lines()}")
            if time.monotonic() > deadline:
                raise StartFailed(f"{name} was not ready after {START_SECONDS} s: {log.cause()}\n{log.last_lines()}")
            if give_up():
                raise StartFailed(f"{name} was asked to stop before it was ready")
            time.sleep(0.01)
    except BaseException:
        end(process, stop_signal)
        raise
    return process


def guard(process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> subprocess.Popen[bytes]:
    """Start the small process that stops the server when this process ends without having done so."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARDIAN, "sh", stop_signal.name.removeprefix("SIG"), str(process.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    """Ask a process to end, and make it after `STOP_SECONDS`."""
    process.send_signal(stop_signal)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _works_in(process: psutil.Process, data: Path, program: str) -> bool:
    try:
        return bool(process.name() == program and process.cwd() == str(data))
    except psutil.Error:  # gone, or of another user and so not ours
        return False
