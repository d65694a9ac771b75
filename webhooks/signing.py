"""Signs deliveries with HMAC-SHA256 (Standard Webhooks 1.0.0, "Signature scheme")."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a key, by the specification."""


def new_secret() -> str:
    return secret_of(secrets.token_bytes(32))


def secret_of(key: bytes) -> str:
    """Return a key in the form in which receivers get it."""
    return PREFIX + base64.b64encode(key).decode()


def key_of(secret: str) -> bytes:
    """Return a secret's key. Raises ValueError, whose message does not repeat the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"a webhook secret is {PREFIX} and {SHORTEST} to {LONGEST} bytes in base64")
    return key


def key_for(key: bytes, client: str | None) -> bytes:
    """Return the key for a client's deliveries: one derived for it, or, where clients have no API keys, the key itself.

    A receiver that can verify can also sign. With a key of its own, no client can forge deliveries to another.
    """
    return key if client is None else hmac.digest(key, b"millrace webhooks of " + client.encode(), hashlib.sha256)


def signatures(keys: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return the header `webhook-signature`, with one signature a key: a receiver may have any of them."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
