"""Who sends a request: the client whose API key it carries, and whether that client sends too many.

The handler holds all keys in memory, so that a request need not ask PostgreSQL. It reads all of them together: guessed
keys cannot fill a memory that holds existing keys only, and cause no more readings than MIN_INTERVAL allows.
"""

import asyncio
import hmac
import time
from ipaddress import IPv6Address, IPv6Network
from math import ceil

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from handler.auth.caller import ANYBODY, Caller
from handler.auth.rate_limit import RateLimiter
from handler.http.request import ApiRequest
from handler.problems import ProblemKind, RequestRefused
from store import keys
from store.keys import ApiKey

log = structlog.get_logger(__name__)

REFRESH_INTERVAL = 5.0
"""Seconds between two readings: for so long a revoked key may still work, or a changed role be unknown."""

MAX_AGE = 10.0
"""While PostgreSQL is away, keys that were read longer ago than these seconds are not accepted."""

MIN_INTERVAL = 0.2
"""Seconds between two readings, at least: an unknown key may be new, so it waits for the next one, with all others."""

_NOBODY = bytes(32)
_CHALLENGE = 'Bearer realm="millrace"'


class Authenticator:
    def __init__(self, keyring: "Keyring | None", limiter: RateLimiter | None) -> None:
        self.keyring = keyring
        """None with AUTH=off."""
        self._limiter = limiter

    async def identify(self, request: ApiRequest) -> Caller:
        """Return who sends the request, ANYBODY with AUTH=off. Raises RequestRefused."""
        caller = ANYBODY
        if self.keyring is not None:
            scheme, _, key = (request.header(b"authorization") or "").partition(" ")
            if scheme.lower() != "bearer":
                detail = "API key missing; send the header Authorization: Bearer mr_…"
                raise RequestRefused(ProblemKind.KEY_MISSING, detail, headers={"WWW-Authenticate": _CHALLENGE})
            known = await self.keyring.caller(key.strip())
            if known is None:
                detail = "Unknown or revoked API key; ask the operator for a new one."
                headers = {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'}
                raise RequestRefused(ProblemKind.KEY_REFUSED, detail, headers=headers)
            caller = known
        self.count(request, caller)
        return caller

    def count(self, request: ApiRequest, caller: Caller) -> None:
        """Count a request against the rate limit of its client. Raises RequestRefused."""
        if self._limiter is not None:
            # Without keys, clients can only be told apart by their addresses.
            _limit(self._limiter, caller.client or (_network(request.client.host) if request.client else ""))


def _network(address: str) -> str:
    """Return what one client has: an IPv4 address, or an IPv6 network of 64 bits."""
    if ":" not in address:
        return address
    try:
        ip = IPv6Address(address)
    except ValueError:  # a proxy's own word for it
        return address
    return str(ip.ipv4_mapped or IPv6Network((int(ip) >> 64 << 64, 64)))


def _limit(limiter: RateLimiter, client: str) -> None:
    wait = ceil(limiter.wait(client))
    if wait:
        rate = limiter.rate
        raise RequestRefused(
            ProblemKind.TOO_MANY_REQUESTS,
            f"Rate limit of {rate.requests} requests in {rate.seconds} s exceeded; try again in {wait} s.",
            headers={
                "Retry-After": str(wait),
                "RateLimit-Policy": f'"client";q={rate.requests};w={rate.seconds}',
                "RateLimit": f'"client";r=0;t={wait}',
            },
        )


class Keyring:
    """The API keys in force."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._keys: dict[str, ApiKey] = {}
        self._used: set[str] = set()
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def caller(self, key: str) -> Caller | None:
        """Return whose key this is and its role, or None if it is not in force.

        Raises what PostgreSQL raised when the keys could not be read.
        """
        key_id = keys.id_in(key)
        if key_id is None:
            return None
        known = await self.in_force(key_id)
        # An id is no secret, but what follows it is: compare all of it, whatever its beginning.
        if not hmac.compare_digest(keys.digest(key), known.hash if known else _NOBODY) or known is None:
            return None
        self._used.add(key_id)
        return Caller(known.client, known.role)

    async def in_force(self, key_id: str) -> ApiKey | None:
        """Return the key with this id, or None if it is not in force. Raises like `caller`."""
        age = MAX_AGE if key_id in self._keys else 0
        await self._read_since(time.monotonic() - age)
        return self._keys.get(key_id)

    async def run(self) -> None:
        """Read the keys at intervals until cancelled."""
        while True:
            try:
                await self._read_since(time.monotonic())
            except Exception as error:  # PostgreSQL is away: reading must go on
                log.warning("keys_unread", error=str(error))
            await asyncio.sleep(REFRESH_INTERVAL)

    async def _read_since(self, moment: float) -> None:
        """Return when the keys are as they were at this moment, or later; all who wait share one reading."""
        while self._read_at < moment:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
            await asyncio.shield(self._reading)

    async def _read(self) -> None:
        try:
            await asyncio.sleep(self._read_at + MIN_INTERVAL - time.monotonic())
            start = time.monotonic()
            used, self._used = self._used, set()
            async with self._engine.begin() as connection:
                if used:
                    await keys.mark_used(connection, used)
                self._keys = await keys.active(connection)
            self._read_at = start
        finally:
            self._reading = None
