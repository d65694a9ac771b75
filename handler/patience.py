"""Gives up on requests whose body does not come: each holds a connection and what has come of it.

A timer for each request would cost more than reading most bodies does, so one look a second finds those that are late.
"""

import asyncio
from typing import Any

LOOK = 1.0


class Patience:
    def __init__(self, seconds: float) -> None:
        """Let every body come within so many seconds."""
        self.seconds = seconds
        self._begun: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()

    def begin(self) -> asyncio.Task[Any]:
        """Say that the current task reads a body from now on; it is cancelled when that takes too long."""
        task: Any = asyncio.current_task()
        self._begun[task] = asyncio.get_running_loop().time()
        return task  # type: ignore[no-any-return]

    def end(self, task: asyncio.Task[Any]) -> bool:
        """Say that it reads no more; return whether it was cancelled for being late."""
        del self._begun[task]
        if task not in self._late:
            return False
        self._late.remove(task)
        task.uncancel()
        return True

    async def run(self) -> None:
        """Look for late ones until cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            limit = asyncio.get_running_loop().time() - self.seconds
            for task in [task for task, begun in self._begun.items() if begun < limit and task not in self._late]:
                self._late.add(task)
                task.cancel()
