"""Connections to Redis that a worker's event loop can lose."""

import os
from typing import Any

from kombu import asynchronous
from redis import Connection, SSLConnection


class _LeavesLoop:
    """Leaves the event loop before it is closed.

    A closed socket stays in the loop's poller while a forked process has it, too, and the next connection soon has its
    number. The loop then reads from that one although nothing has come, and waits for ever
    (https://github.com/celery/celery/issues/4321).
    """

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        loop, socket = asynchronous.get_event_loop(), self._sock  # type: ignore[attr-defined]
        # A forked process shares the poller with its parent, and must not take the parent's sockets out of it.
        if loop is not None and socket is not None and self.pid == os.getpid():  # type: ignore[attr-defined]
            loop.remove(socket)  # type: ignore[no-untyped-call]
        super().disconnect(*args, **kwargs)  # type: ignore[misc]


class PolledConnection(_LeavesLoop, Connection):
    """A connection to Redis."""


class PolledSSLConnection(_LeavesLoop, SSLConnection):
    """A connection over TLS."""
