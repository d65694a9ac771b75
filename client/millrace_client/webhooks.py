"""Verifies webhooks as Standard Webhooks signs them (https://www.standardwebhooks.com)."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

TOLERANCE = 300
"""Seconds that the sender's clock may differ; an older message may be one that somebody has recorded."""


class InvalidSignature(ValueError):
    """The message was not signed with this secret, was changed, or is too old."""


def verify_webhook(body: bytes, headers: Mapping[str, str], secret: str, *, tolerance: float = TOLERANCE) -> Any:
    """Return the parsed body of a webhook that was signed with the secret (`whsec_…`). Raises InvalidSignature.

    Give the body as it came: parsing and writing it again would change it.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        name, stamp, signatures = (given[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
        sent = int(stamp)
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (KeyError, ValueError, binascii.Error) as error:
        raise InvalidSignature(f"a header is missing or malformed: {error}") from None
    if not key:
        raise InvalidSignature("the secret is empty")
    if abs(time.time() - sent) > tolerance:
        raise InvalidSignature("the timestamp is too old, or lies ahead")
    expected = base64.b64encode(hmac.digest(key, b".".join((name.encode(), stamp.encode(), body)), hashlib.sha256))
    versions = (signature.partition(",") for signature in signatures.split())
    if not any(version == "v1" and hmac.compare_digest(value.encode(), expected) for version, _, value in versions):
        raise InvalidSignature("no signature fits the body")
    return json.loads(body)
