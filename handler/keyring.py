"""The API keys in memory, so that a request need not ask PostgreSQL who sent it.

All of them are read together: guessed keys cannot fill a memory that holds the real ones only, and make no more
than READINGS_APART allows for.
"""

import asyncio
import hmac
import time

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from store import keys
from store.keys import Key

log = structlog.get_logger(__name__)

REFRESH = 5.0
"""Seconds between two readings: for so long a revoked key may still work."""

MAX_AGE = 10.0
"""While PostgreSQL is away, keys that were read longer ago than these seconds are good for nothing."""

READINGS_APART = 0.2
"""Seconds, at least: a key that is not known may be new, so it waits for the next reading, with all that do."""

_NOBODY = bytes(32)


class Keyring:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._keys: dict[str, Key] = {}
        self._used: set[str] = set()
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def client(self, key: str) -> str | None:
        """Return whose key this is, or None if it is not in force.

        Raises what PostgreSQL raised when the keys could not be read.
        """
        key_id = keys.id_in(key)
        if key_id is None:
            return None
        age = MAX_AGE if key_id in self._keys else 0
        await self._read_since(time.monotonic() - age)
        known = self._keys.get(key_id)
        # An id is no secret, but what follows it is: compare all of it, whatever its beginning.
        if not hmac.compare_digest(keys.digest(key), known.hash if known else _NOBODY) or known is None:
            return None
        self._used.add(key_id)
        return known.client

    async def run(self) -> None:
        """Read the keys now and then until cancelled."""
        while True:
            try:
                await self._read_since(time.monotonic())
            except Exception as error:  # PostgreSQL is away: looking must go on
                log.warning("keys_unread", error=str(error))
            await asyncio.sleep(REFRESH)

    async def _read_since(self, moment: float) -> None:
        """Return when the keys are as they were at this moment, or later; all who wait share one reading."""
        while self._read_at < moment:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
            await asyncio.shield(self._reading)

    async def _read(self) -> None:
        try:
            await asyncio.sleep(self._read_at + READINGS_APART - time.monotonic())
            start = time.monotonic()
            used, self._used = self._used, set()
            async with self._engine.begin() as connection:
                if used:
                    await keys.used(connection, used)
                self._keys = await keys.in_force(connection)
            self._read_at = start
        finally:
            self._reading = None
