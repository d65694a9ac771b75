"""The states of a task, in Celery's words as Flower shows them."""

from enum import IntEnum, StrEnum


class Status(StrEnum):
    PENDING = "PENDING"
    """Accepted and durable; waits for a worker. Next: STARTED, REVOKED, EXPIRED."""
    STARTED = "STARTED"
    """A worker owns it until its lease ends. Next: SUCCESS, FAILURE, REVOKED, EXPIRED, or PENDING again."""
    SUCCESS = "SUCCESS"
    """Its predictions are stored."""
    FAILURE = "FAILURE"
    """It cannot be scored; `error` says why. Its inputs are kept."""
    REVOKED = "REVOKED"
    """Cancelled by its client."""
    EXPIRED = "EXPIRED"
    """Its deadline passed before it was scored."""


FINAL = frozenset({Status.SUCCESS, Status.FAILURE, Status.REVOKED, Status.EXPIRED})


class Priority(IntEnum):
    """Which waiting tasks are scored first: the smaller, the sooner."""

    HIGH = 0
    NORMAL = 1
    LOW = 2
