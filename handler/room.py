"""Bounds the memory that bodies take: while PostgreSQL stalls, every one that has come is kept."""

import asyncio
from typing import Any

from handler.problems import Refused

LIMIT = 128 * 2**20
"""Bytes of bodies at once. Each may be there twice for a while, as it came and as it is stored; the manifests give a
handler 512 MiB."""


class Room:
    def __init__(self, max_body_bytes: int) -> None:
        self._limit = max(LIMIT, max_body_bytes)
        self._held: dict[asyncio.Task[Any], int] = {}
        self._total = 0

    def look(self, n_bytes: int) -> None:
        """Raise Refused where so many more have no room, so that they need not be read first.

        They are not counted yet: who announces a body and sends none takes no room.
        """
        if self._total + n_bytes > self._limit:
            detail = f"{self._total} bytes of requests are being worked on already; try again in a second."
            raise Refused(503, "backlog-full", detail, headers={"Retry-After": "1"})

    def take(self, n_bytes: int) -> None:
        """Count what has come, until the request of the current task is answered or given up. Raises Refused."""
        self.look(n_bytes)
        task: Any = asyncio.current_task()
        if task not in self._held:
            self._held[task] = 0
            task.add_done_callback(self._leave)
        self._held[task] += n_bytes
        self._total += n_bytes

    def _leave(self, task: asyncio.Task[Any]) -> None:
        self._total -= self._held.pop(task)
