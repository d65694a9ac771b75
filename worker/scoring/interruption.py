"""Interrupts a process that scores, at the model's time limit or the end of the worker's grace period.

Both interrupt by signal, in the main thread. They raise a `BaseException`, so that no model takes them for an error of
its own.
"""

import faulthandler
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

KILL = 5
"""Seconds after its time limit at which a process ends itself that could not be interrupted."""

SHUTDOWN = signal.SIGUSR1
"""The signal of Celery's soft time limit, which Millrace does not use: here it only ever means a shutdown."""

_STDERR = 2


class TimeLimitExceeded(BaseException):
    """Predicting took longer than the model's time limit."""


class GracePeriodOver(BaseException):
    """The worker shuts down, and its grace period is over."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimitExceeded after so many seconds. A process that does not react says where it is, and ends."""
    before = signal.signal(signal.SIGALRM, _exceed_time_limit)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + KILL, exit=True, file=_STDERR)
    try:
        yield
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, *timer)
        finally:  # the signal could come here
            faulthandler.cancel_dump_traceback_later()
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
