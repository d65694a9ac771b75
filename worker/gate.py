"""Stands between Redis and Celery: a message that is not as our publisher makes it is dropped, and the worker goes on.

Without it, one that is no JSON ends every worker that takes it (https://github.com/celery/kombu/issues/2421). What
is dropped loses no task: rescue publishes those that have no message.
"""

from collections.abc import Callable
from queue import Empty
from typing import Any

import structlog
from kombu.transport import TRANSPORT_ALIASES, redis

from broker.envelope import fault
from broker.message import QUEUES
from worker.slots import Slots

log = structlog.get_logger(__name__)

_SHOWN = 500  # characters of a fault, which may quote the message


class Channel(redis.Channel):
    """Takes messages from Redis; one that cannot be read is gone from there already."""

    QoS = Slots

    def _brpop_read(self, **options: Any) -> Any:
        taken = self._take(lambda: super(Channel, self)._brpop_read(**options))  # type: ignore[no-untyped-call]
        if taken is None:
            raise Empty
        return taken

    def _receive_one(self, subscription: Any) -> Any:
        return self._take(lambda: super(Channel, self)._receive_one(subscription))  # type: ignore[no-untyped-call]

    def _take(self, take: Callable[[], Any]) -> Any:
        """Take and deliver; return None for what cannot be read."""
        self.connection.is_delivering = False
        try:
            return take()
        except (Empty, *self.connection.connection_errors, *self.connection.channel_errors):
            raise
        except Exception as error:
            if self.connection.is_delivering:
                raise
            _refuse("?", repr(error))
            return None


class Transport(redis.Transport):
    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        self.is_delivering = True
        if not queue.startswith(QUEUES):
            self._deliver_order(message, queue)
        elif reason := fault(message, queue):
            _refuse(queue, reason)
        else:
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]

    def _deliver_order(self, message: Any, queue: str) -> None:
        """Deliver what Flower and `celery inspect` ask of a worker; Celery decodes it here and then."""
        try:
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]
        except self.connection_errors:
            raise
        except Exception as error:
            _refuse(queue, repr(error))


def _refuse(queue: str, reason: str) -> None:
    log.error("message_refused", queue=queue, reason=reason[:_SHOWN])


def install() -> None:
    """Make Celery in this program use the gate, however its Redis is addressed."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
