"""What all open pages of this process look at together: each thing once a tick, however many pages there are."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

TICK = 2.0
"""Seconds for which a look is good, or has failed for all who ask."""

STALE = 15.0
"""Seconds after which a look says nothing of what happens now, such as that of a console that was closed."""

_GOOD = TICK * 0.9
"""Who asks a tick later finds it to be over, whatever timers do."""


class SharedLook(Generic[T]):
    """A look at one thing."""

    def __init__(self) -> None:
        self.latest: T | None = None
        """What was seen last, however long ago."""
        self.ended_at = float("-inf")
        """On the clock time.monotonic."""
        self._failure: Exception | None = None
        self._looking: asyncio.Task[None] | None = None

    async def get(self, look: Callable[[], Awaitable[T]]) -> T:
        """Return what was seen at most a tick ago; all who wait share one look. Raises what that raised."""
        if self._looking is None and monotonic() - self.ended_at >= _GOOD:
            self._looking = asyncio.create_task(self._look(look))
        if self._looking is not None:
            await asyncio.shield(self._looking)
        if self._failure is not None:
            raise self._failure
        return cast(T, self.latest)

    async def _look(self, look: Callable[[], Awaitable[T]]) -> None:
        try:
            self.latest, self._failure = await look(), None
        except Exception as failure:  # which every caller gets
            self._failure = failure
        finally:
            self.ended_at = monotonic()
            self._looking = None

    @property
    def stale(self) -> bool:
        return self._looking is None and monotonic() - self.ended_at > STALE


class SharedLooks:
    """Looks at many things, each known by a key; those that nobody asks for any more are forgotten."""

    def __init__(self) -> None:
        self._looks: dict[Hashable, SharedLook[Any]] = {}

    async def get(self, key: Hashable, look: Callable[[], Awaitable[T]]) -> T:
        """Return what was seen of this thing, as SharedLook does."""
        if key not in self._looks:
            self._looks = {name: one for name, one in self._looks.items() if not one.stale}
            self._looks[key] = SharedLook()
        return cast(T, await self._looks[key].get(look))
