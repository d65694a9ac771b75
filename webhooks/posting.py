"""Posts one event to its receiver and returns the response."""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from uuid import UUID

import certifi
import httpcore

from webhooks.network import CheckedNetwork
from webhooks.signing import key_for, signatures
from webhooks.urls import UrlRefused, target

MAX_DRAINED = 4096
"""Bytes of a response that are read, to use its connection again. Their content does not matter."""

DRAIN_TIMEOUT = 1.0
"""Seconds for reading them."""

KEEP_ALIVE = 5.0
"""Seconds that a connection stays open for the next delivery to the same host."""


@dataclass(frozen=True, slots=True)
class Event:
    """What has happened: the end of a task, or the event with this id."""

    source: UUID
    type: str
    happened_at: datetime
    data: Mapping[str, object]
    client: str | None

    @property
    def id(self) -> str:
        """The same for every attempt; another one when a task is replayed and ends again."""
        return f"msg_{self.source.hex}_{int(self.happened_at.timestamp() * 1_000_000)}"

    def body(self) -> bytes:
        content = {
            "type": self.type,
            "timestamp": self.happened_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "data": dict(self.data),
        }
        return json.dumps(content, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """A receiver's status, or why there is none. Never its body: other people read this."""

    status: int | None = None
    error: str | None = None
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        return self.status == 410


class Poster:
    def __init__(self, keys: Sequence[bytes], network: CheckedNetwork, timeout: float, *, allow_private: bool) -> None:
        self._keys = keys
        self._timeout = timeout
        self._allow_private = allow_private
        trust = ssl.create_default_context()  # the system's certificates and SSL_CERT_FILE,
        trust.load_verify_locations(certifi.where())  # and Mozilla's where the system has none
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust, max_connections=None, keepalive_expiry=KEEP_ALIVE, network_backend=network
        )

    async def post(self, event: Event, url: str) -> WebhookResponse:
        """Post the signed event within the timeout. A redirect is a response like any other."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(event, url)
        except UrlRefused as error:
            return WebhookResponse(error=str(error))
        except TimeoutError:
            return WebhookResponse(error=f"no answer within {self._timeout:g} s")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            return WebhookResponse(error=f"{type(error).__name__}: {error}")

    async def close(self) -> None:
        await self._pool.aclose()

    async def _post(self, event: Event, url: str) -> WebhookResponse:
        to = target(url, allow_private=self._allow_private)
        body, now = event.body(), int(time.time())
        keys = [key_for(key, event.client) for key in self._keys]
        headers: dict[bytes | str, bytes | str] = {
            "Host": to.netloc,
            "Content-Type": "application/json",
            "User-Agent": "Millrace",
            "webhook-id": event.id,
            "webhook-timestamp": str(now),
            "webhook-signature": signatures(keys, event.id, now, body),
        }
        where = httpcore.URL(scheme=to.scheme, host=to.host, port=to.port, target=to.path)
        async with self._pool.stream("POST", where, headers=headers, content=body) as response:
            await _drain(response)
            return WebhookResponse(response.status, retry_after=retry_after(response))


async def _drain(response: httpcore.Response) -> None:
    """Read the rest of a short response, so that its connection can be used again."""
    drained = 0
    with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout(DRAIN_TIMEOUT):
            async for part in response.aiter_stream():
                drained += len(part)
                if drained > MAX_DRAINED:
                    return


def retry_after(response: httpcore.Response) -> float | None:
    """Return the seconds that the receiver asks for, given as seconds or as a date (RFC 9110, 10.2.3)."""
    given = (value for name, value in response.headers if name.lower() == b"retry-after")
    value = next(given, b"").decode("latin-1").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return (parsedate_to_datetime(value).replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):  # malformed, or beyond the calendar
        return None
