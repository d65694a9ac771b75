"""API keys: made here and shown once; what is stored tells them apart and cannot be turned back into one.

A key is `mr_<id>_<secret>`. The id is public: it names the key in lists and finds its row. The hash is one round
of SHA-256: a slow hash protects secrets that can be guessed, and among 2²⁵⁶ random ones nobody guesses.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import api_keys

_KEY = re.compile("mr_([0-9a-f]{16})_[0-9a-f]{64}")
_CLIENT = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class WrongClientName(ValueError):
    """The name of a client is 1 to 64 letters, digits, dots, dashes and underscores; the first is a letter or digit."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the store knows it."""

    id: str
    client: str
    hash: bytes = field(repr=False)


def id_in(key: str) -> str | None:
    """Return the id that is part of a key, or None if this is no key."""
    match = _KEY.fullmatch(key)
    return match and match[1]


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def create(connection: Connection, client: str) -> str:
    """Store a new key for a client and return it: nobody can read it again. Raises WrongClientName."""
    if not _CLIENT.fullmatch(client):
        raise WrongClientName(WrongClientName.__doc__)
    key_id = secrets.token_hex(8)
    key = f"mr_{key_id}_{secrets.token_hex(32)}"
    connection.execute(insert(api_keys).values(id=key_id, client=client, hash=digest(key)))
    return key


def page(connection: Connection) -> Sequence[Row[Any]]:
    """Return (id, client, created_at, last_used_at, revoked_at) of every key, the clients in alphabetical order."""
    shown = (c for c in api_keys.c if c is not api_keys.c.hash)
    return connection.execute(select(*shown).order_by(api_keys.c.client, api_keys.c.created_at)).all()


def revoke(connection: Connection, key_id: str) -> str | None:
    """Revoke a key and return its client; None if there is no such key that is not revoked already."""
    revoked = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    client: str | None = connection.scalar(revoked.values(revoked_at=func.now()).returning(api_keys.c.client))
    return client


# A minute is exact enough to see which keys are in use, and saves nearly all of the writes.
_USED = text("""
UPDATE api_keys SET last_used_at = now()
WHERE id IN (
    SELECT id FROM api_keys
    WHERE id = ANY(:ids) AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
    ORDER BY id FOR UPDATE SKIP LOCKED
)
""")


async def used(connection: AsyncConnection, key_ids: Iterable[str]) -> None:
    """Note that these keys are in use, to the minute; the caller commits."""
    await connection.execute(_USED, {"ids": list(key_ids)})


async def in_force(connection: AsyncConnection) -> dict[str, Key]:
    """Return every key that is not revoked, by its id."""
    rows = await connection.execute(
        select(api_keys.c.id, api_keys.c.client, api_keys.c.hash).where(api_keys.c.revoked_at.is_(None))
    )
    return {row.id: Key(row.id, row.client, row.hash) for row in rows}
