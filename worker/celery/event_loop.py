"""kombu's event loop, made to survive connections that break.

kombu has no hook for that, so the subclass here overrides private methods.
"""

from collections.abc import Callable
from inspect import GEN_SUSPENDED, getgeneratorstate, isgenerator
from typing import Any

from celery import bootsteps
from kombu import asynchronous
from kombu.utils.compat import fileno


class EventLoop(asynchronous.Hub):
    """Goes on reading what it had begun to read before a reset, as soon as the same pipe is added again.

    The loop reads the results of the worker's processes in pieces. (A result with an exception has over 30 kB, and its
    length and its body are written apart.) When Celery loses the connection to Redis, it resets the loop. kombu's own
    loop forgets the piece that it has read and takes the rest for the length of the next result. Then Celery gives the
    pipe up, and the worker takes no message any more (https://github.com/celery/celery/issues/10302).
    """

    def __init__(self, timer: Any) -> None:
        super().__init__(timer)  # type: ignore[no-untyped-call]
        self._begun: dict[int, Any] = {}

    def reset(self) -> None:
        for fd, (reader, _) in self.readers.items():
            if isgenerator(reader) and getgeneratorstate(reader) == GEN_SUSPENDED:
                self._begun[fd] = reader
        super().reset()  # type: ignore[no-untyped-call]

    def add_reader(self, fds: Any, callback: Callable[..., Any], *args: Any) -> None:
        begun = self._begun.pop(fileno(fds), None)  # type: ignore[no-untyped-call]
        if begun is None:
            super().add_reader(fds, callback, *args)  # type: ignore[no-untyped-call]
        else:
            super().add_reader(fds, begun)  # type: ignore[no-untyped-call]

    def remove_reader(self, fd: Any) -> None:
        self._begun.pop(fileno(fd), None)  # type: ignore[no-untyped-call]
        super().remove_reader(fd)  # type: ignore[no-untyped-call]

    def remove(self, fd: Any) -> None:
        self._begun.pop(fileno(fd), None)  # type: ignore[no-untyped-call]
        super().remove(fd)  # type: ignore[no-untyped-call]


class EventLoopStep(bootsteps.Step):  # type: ignore[misc]
    """Puts this event loop in the place of the one that Celery has made for a worker, before anything uses it."""

    requires = ("celery.worker.components:Hub",)

    def create(self, worker: Any) -> None:
        worker.hub.close()
        worker.hub = asynchronous.set_event_loop(EventLoop(worker.timer))
