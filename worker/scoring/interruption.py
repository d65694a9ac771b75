"""Interrupts a process that scores, at the model's time limit or the end of the worker's grace period.

Both interrupt by signal, in the main thread. They raise a `BaseException`, so that no model takes them for an error of
its own.
"""

import faulthandler
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

KILL = 5
"""Seconds after its time limit at which a process ends itself that could not be interrupted."""

SLACK = 1.0
"""Seconds by which it may be later."""

SHUTDOWN = signal.SIGUSR1
"""The signal of Celery's soft time limit, which Millrace does not use: here it only ever means a shutdown."""

_STDERR = 2


class TimeLimitExceeded(BaseException):
    """Predicting took longer than the model's time limit."""


class GracePeriodOver(BaseException):
    """The worker shuts down, and its grace period is over."""


class _Watch:
    """Ends a process that goes on working past a moment, by faulthandler, whose thread needs no GIL.

    Starting and ending that thread takes as long as storing a score. So it stays while chunk follows chunk: each is
    given at least its time and at most SLACK more, and a second thread ends it when no chunk has come for a while.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._working = False
        self._fires: float | None = None
        self._thread: threading.Thread | None = None

    def begin(self, seconds: float) -> None:
        """End this process in so many seconds, unless the work ends."""
        now = time.monotonic()
        with self._lock:
            self._working = True
            if self._fires is None or not now + seconds <= self._fires <= now + seconds + SLACK:
                self._fires = now + seconds + SLACK
                faulthandler.dump_traceback_later(self._fires - now, exit=True, file=_STDERR)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="time limits", daemon=True)
                self._thread.start()

    def end(self) -> None:
        self._working = False

    def _run(self) -> None:
        while True:
            time.sleep(SLACK)
            with self._lock:
                if self._fires is not None and not self._working:
                    faulthandler.cancel_dump_traceback_later()
                    self._fires = None


_watch = _Watch()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimitExceeded after so many seconds. A process that does not react says where it is, and ends."""
    before = signal.signal(signal.SIGALRM, _exceed_time_limit)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    _watch.begin(seconds + KILL)
    try:
        yield
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, *timer)
        finally:  # the signal could come here
            _watch.end()
            signal.signal(signal.SIGALRM, before)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise GracePeriodOver when the worker's shutdown cannot wait any longer."""
    before = signal.signal(SHUTDOWN, _end_grace_period)
    try:
        yield
    finally:
        signal.signal(SHUTDOWN, before)


def _exceed_time_limit(number: int, frame: FrameType | None) -> NoReturn:
    raise TimeLimitExceeded


def _end_grace_period(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(SHUTDOWN, signal.SIG_IGN)  # once: nothing may interrupt giving the tasks back
    raise GracePeriodOver
