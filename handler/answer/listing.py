"""Reads lists of tasks on connections of their own, a few at a time, so that they delay only other lists."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine

from handler.auth.caller import Caller
from handler.problems import ProblemKind, RequestRefused
from store import tasks

CONNECTIONS = 2
"""So many lists are read at the same time."""

MAX_OF_CLIENT, MAX_OF_ALL = 8, 64
"""Lists that may wait or be read at once, of one client and of all. More are refused."""

RETRY_AFTER = 1


class TaskLists:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._lists: Counter[str | None] = Counter()

    async def page(self, caller: Caller, **filters: Any) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return the tasks that match, of those that the caller may see. Raises RequestRefused."""
        client = caller.client
        if self._lists.total() >= MAX_OF_ALL or (client is not None and self._lists[client] >= MAX_OF_CLIENT):
            detail = f"Too many task lists are being read; try again in {RETRY_AFTER} s."
            raise RequestRefused(ProblemKind.LISTS_BUSY, detail, headers={"Retry-After": str(RETRY_AFTER)})
        self._lists[client] += 1
        try:
            async with self._turns, self._engine.connect() as connection:
                return await tasks.page(connection, client=caller.confined_to, **filters)
        finally:
            self._lists[client] -= 1
            if not self._lists[client]:
                del self._lists[client]
