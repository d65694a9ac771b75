"""Reads lists of tasks on connections of their own, a few at a time, so that they delay only other lists."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import Row, Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from handler.auth.caller import Caller
from handler.problems import ProblemKind, RequestRefused
from store import task_search, tasks

CONNECTIONS = 2
"""So many lists are read at the same time."""

MAX_OF_CLIENT, MAX_OF_ALL = 8, 64
"""Lists that may wait or be read at once, of one client and of all. More are refused."""

RETRY_AFTER = 1


class Admission:
    """Bounds how many reads of one kind wait or are under way, of one client and of all."""

    def __init__(self, what: str, of_client: int = MAX_OF_CLIENT, of_all: int = MAX_OF_ALL) -> None:
        """Name in the plural what is read."""
        self._what = what
        self._of_client, self._of_all = of_client, of_all
        self._reads: Counter[str | None] = Counter()

    def check(self, client: str | None) -> None:
        """Raise RequestRefused if there are too many."""
        if self._reads.total() >= self._of_all or (client is not None and self._reads[client] >= self._of_client):
            detail = f"Too many {self._what} are being read; try again in {RETRY_AFTER} s."
            raise RequestRefused(ProblemKind.LISTS_BUSY, detail, headers={"Retry-After": str(RETRY_AFTER)})

    @contextmanager
    def count(self, client: str | None) -> Iterator[None]:
        """Count a read while the block lasts."""
        self._reads[client] += 1
        try:
            yield
        finally:
            self._reads[client] -= 1
            if not self._reads[client]:
                del self._reads[client]


class TaskLists:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._admission = Admission("task lists")

    async def page(
        self, caller: Caller, of_client: str | None = None, **filters: Any
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return the tasks that match, of those that the caller may see, or of one client. Raises RequestRefused."""
        async with self.reading(caller) as connection:
            return await tasks.page(connection, client=caller.confined_to or of_client, **filters)

    async def count(self, caller: Caller, of_client: str | None = None, **filters: Any) -> int:
        """Return how many tasks match, of those that the caller may see, up to `limit`. Raises RequestRefused."""
        async with self.reading(caller) as connection:
            return await task_search.count(connection, client=caller.confined_to or of_client, **filters)

    async def with_key(
        self, caller: Caller, table: Table, column: str, key: str, of_client: str | None = None, **filters: Any
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return the newest tasks that match and have a row with the client's own key. Raises RequestRefused."""
        client = caller.confined_to or of_client
        async with self.reading(caller) as connection:
            return await task_search.with_key(connection, table, column, key, client=client, **filters)

    @asynccontextmanager
    async def reading(self, caller: Caller) -> AsyncIterator[AsyncConnection]:
        """Give a connection for a list when it is the caller's turn. Raises RequestRefused."""
        self._admission.check(caller.client)
        with self._admission.count(caller.client):
            async with self._turns, self._engine.connect() as connection:
                yield connection
