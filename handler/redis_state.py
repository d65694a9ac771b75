"""Whether this handler can use Redis, for readiness and Prometheus. Without it submissions are accepted, and wait."""

from time import monotonic

from handler.answer.tasks import TaskNotifier
from handler.submit.group_commit import GroupCommit

REFUSED = 60.0
"""Seconds for which a failed publish counts although Redis answers: it may be full, or a replica."""


class RedisState:
    def __init__(self, notifier: TaskNotifier, group_commit: GroupCommit) -> None:
        self._notifier = notifier
        self._group_commit = group_commit

    @property
    def fault(self) -> str | None:
        """What is wrong with Redis; None: nothing."""
        if self._notifier.fault is not None:
            return self._notifier.fault
        failure = self._group_commit.last_publish_failure
        return failure[1] if failure is not None and monotonic() - failure[0] < REFUSED else None
