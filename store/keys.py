"""API keys: made here and shown once; what is stored tells them apart and cannot be turned back into one.

A key is `mr_<id>_<secret>`. The id is public: it names the key in lists and finds its row. The hash is one round
of SHA-256: a slow hash protects secrets that can be guessed, and among 2²⁵⁶ random ones nobody guesses.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    LargeBinary,
    Row,
    Table,
    Text,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import ANALYST, app_may, metadata


class Role(StrEnum):
    """What the client of a key may do."""

    SUBMIT = "submit"
    """Submit tasks; read, cancel and replay its own."""
    READ = "read"
    """Read every client's tasks, with the personal fields masked."""
    TRIAGE = "triage"
    """Read every client's tasks whole, and say whether a prediction was right."""
    OPERATE = "operate"
    """Promote, roll back and retire models; cancel, replay and, with the personal fields masked, read every client's
    tasks."""
    ADMIN = "admin"
    """All of these, on every client's tasks and unmasked."""


api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True, comment="public part of the key"),
    Column("client", Text, nullable=False, comment="whose tasks are submitted and read with it"),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256 of the key"),
    Column("role", Text, nullable=False, server_default=Role.SUBMIT, comment="what its client may do: submit to admin"),
    Column(
        "created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), comment="when it was made"
    ),
    Column("last_used_at", DateTime(timezone=True), comment="to the minute"),
    Column("revoked_at", DateTime(timezone=True), comment="since when it is refused; null: it is in force"),
    CheckConstraint("octet_length(hash) = 32", name="hash_is_sha256"),
    CheckConstraint(f"""role IN ('{"', '".join(Role)}')""", name="role_known"),
    # The owner makes and revokes keys. An analyst sees when a client got one, which says when the client began.
    info=app_may("SELECT", "UPDATE (last_used_at)") | {ANALYST: ["SELECT (client, role, created_at)"]},
    comment="Who may use the API; analysts see neither ids nor hashes",
)

_KEY = re.compile("mr_([0-9a-f]{16})_[0-9a-f]{64}")
_CLIENT = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class WrongClientName(ValueError):
    """The name of a client is 1 to 64 letters, digits, dots, dashes and underscores; the first is a letter or digit."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the store knows it."""

    id: str
    client: str
    role: Role
    hash: bytes = field(repr=False)


def id_in(key: str) -> str | None:
    """Return the id that is part of a key, or None if this is no key."""
    match = _KEY.fullmatch(key)
    return match and match[1]


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def create(connection: Connection, client: str, role: Role = Role.SUBMIT) -> str:
    """Store a new key for a client and return it: nobody can read it again. Raises WrongClientName."""
    if not _CLIENT.fullmatch(client):
        raise WrongClientName(WrongClientName.__doc__)
    key_id = secrets.token_hex(8)
    key = f"mr_{key_id}_{secrets.token_hex(32)}"
    connection.execute(insert(api_keys).values(id=key_id, client=client, role=role, hash=digest(key)))
    return key


def page(connection: Connection) -> Sequence[Row[Any]]:
    """Return (id, client, role, created_at, last_used_at, revoked_at) of every key, by client."""
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


async def mark_used(connection: AsyncConnection, key_ids: Iterable[str]) -> None:
    """Note that these keys are in use, to the minute; the caller commits."""
    await connection.execute(_USED, {"ids": list(key_ids)})


async def active(connection: AsyncConnection) -> dict[str, ApiKey]:
    """Return every key that is not revoked, by its id; but none with a role that only a later release knows."""
    columns = (api_keys.c.id, api_keys.c.client, api_keys.c.role, api_keys.c.hash)
    in_force = select(*columns).where(api_keys.c.revoked_at.is_(None), api_keys.c.role.in_(list(Role)))
    rows = await connection.execute(in_force)
    return {row.id: ApiKey(row.id, row.client, Role(row.role), row.hash) for row in rows}
