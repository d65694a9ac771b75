"""Counts the messages that a worker has taken and not yet answered for: it takes the next when a slot is free.

kombu frees a slot after Redis has confirmed the acknowledgement. If that fails while the connection on which the
worker listens survives (Redis hung for a moment), the slot stays taken, and the worker is deaf for ever.
"""

from typing import Any

import structlog
from kombu.transport import redis, virtual
from redis.exceptions import ResponseError

log = structlog.get_logger(__name__)


class Slots(redis.QoS):
    """What Redis was not told of is delivered again some day, and claims nothing then."""

    def append(self, message: Any, delivery_tag: str) -> None:
        try:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
        except ResponseError as error:  # Redis is full: what it cannot note is scored all the same, and makes room
            log.warning("message_not_noted", error=str(error))
            virtual.QoS.append(self, message, delivery_tag)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except Exception:
            self._free(delivery_tag)
            raise

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        try:
            super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]
        except Exception:
            self._free(delivery_tag)
            raise

    def _free(self, delivery_tag: str) -> None:
        virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
