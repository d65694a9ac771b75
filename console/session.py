"""Who looks at the console: a signed cookie names the API key that somebody signed in with, and holds for 12 hours.

The secret of a signature is made of two that every handler has and nobody publishes: the stored hash of the API key,
and the password of the database. So there is no setting to keep equal, a revoked key ends its sessions, and a copy of
the table of keys alone signs nothing. The cookie holds no key.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from itsdangerous import BadSignature, TimestampSigner
from starlette.responses import Response

from handler.auth.authentication import Keyring
from handler.auth.caller import ANYBODY, Caller
from handler.http.request import ApiRequest
from handler.services import Services
from store import keys
from store.keys import ApiKey

LASTS = 12 * 3600
"""Seconds from signing in; using the console does not prolong a session."""

SKEW = 60
"""Seconds by which the clocks of two handlers may differ: one accepts what another will have signed by then."""

_NAME = "millrace_session"
_SALT = b"millrace.console.session"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks: a caller like those of the API, and by which key, if AUTH=required."""

    caller: Caller
    key_id: str | None = None


class Sessions:
    def __init__(self, password: str) -> None:
        """Take the database's password."""
        self._pepper = password.encode()

    async def visitor(self, request: ApiRequest, services: Services) -> Visitor | None:
        """Return who sends the request: anybody with AUTH=off; None without a session that holds."""
        if (keyring := _keyring(services)) is None:
            return Visitor(ANYBODY)
        token = request.cookies.get(_cookie(request), "")
        key = await keyring.in_force(token.partition(".")[0]) if token else None
        if key is None or not self._holds(key, token):
            return None
        return Visitor(Caller(key.client, key.role), key.id)

    async def token(self, services: Services, given: str) -> str | None:
        """Return what a cookie holds for an API key; None if it is not in force."""
        keyring = _keyring(services)
        if keyring is None or await keyring.caller(given) is None:
            return None
        key = await keyring.in_force(keys.id_in(given) or "")
        return None if key is None else self._signer(key).sign(key.id).decode()

    def _holds(self, key: ApiKey, token: str) -> bool:
        try:
            _, signed_at = self._signer(key).unsign(token, return_timestamp=True)
        except BadSignature:
            return False
        return lasts(signed_at, datetime.now(UTC))

    def _signer(self, key: ApiKey) -> TimestampSigner:
        secret = hmac.digest(self._pepper, key.hash, "sha256")
        return TimestampSigner(secret, salt=_SALT, digest_method=sha256)


def lasts(signed_at: datetime, now: datetime) -> bool:
    """Return whether a session still lasts, by a clock that may be behind the one that it was signed by."""
    return -SKEW <= (now - signed_at).total_seconds() <= LASTS


def set_cookie(request: ApiRequest, response: Response, token: str) -> None:
    """Let the browser keep the session; no script can read it, and no form of another site is sent with it."""
    secure = request.url.scheme == "https"
    response.set_cookie(_cookie(request), token, LASTS, secure=secure, httponly=True, samesite="lax")


def delete_cookie(request: ApiRequest, response: Response) -> None:
    secure = request.url.scheme == "https"
    response.delete_cookie(_cookie(request), secure=secure, httponly=True, samesite="lax")


def _cookie(request: ApiRequest) -> str:
    """Return the cookie's name; by https one that only this host can set, by https (RFC 6265bis, 4.1.3)."""
    return f"__Host-{_NAME}" if request.url.scheme == "https" else _NAME


def _keyring(services: Services) -> Keyring | None:
    return services.authenticator.keyring if services.authenticator is not None else None
