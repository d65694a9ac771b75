"""Checks a callback URL when it is submitted. What its name resolves to is checked when it is called."""

import re
from urllib.parse import quote, unquote

import idna

from handler.problems import ProblemKind, RequestRefused
from webhooks.settings import WebhookSettings
from webhooks.urls import UrlRefused, target

PARAMETER = "callback_url"


def checked(url: str, settings: WebhookSettings, *, in_query: bool = True) -> str:
    """Return the callback URL in ASCII, as it is stored and called. Raises RequestRefused if it cannot be called.

    Elsewhere than in the query it is a member of the body.
    """
    where = {"parameter": PARAMETER} if in_query else {"pointer": f"#/{PARAMETER}"}
    if not settings.keys:
        detail = "Webhooks are disabled; set WEBHOOK_SECRET, or poll instead"
        raise _refused(ProblemKind.WEBHOOKS_OFF, detail, where)
    try:
        written = _in_ascii(url)
        target(written, allow_private=settings.webhook_allow_private)
    except UrlRefused as error:
        raise _refused(ProblemKind.INVALID_CALLBACK_URL, str(error), where) from None
    return written


_PARTS = re.compile(r"([A-Za-z]+://)([^/?#]*)(.*)", re.DOTALL)
_HOST = re.compile(r"([^:\[\]@]+)(:[0-9]*)?")
_OUTSIDE = re.compile(r"[^\x00-\x7f]+")


def _in_ascii(url: str) -> str:
    """Encode a host outside ASCII by IDNA, and what follows it with percent signs. `target` checks the result.

    The host is checked after this, as full-width digits may spell an address.
    """
    if url.isascii() and "%" not in url:
        return url
    parts = _PARTS.fullmatch(url)
    host = _HOST.fullmatch(parts[2]) if parts else None
    if parts and host:
        url = parts[1] + _named(host[1]) + (host[2] or "") + parts[3]
    return _OUTSIDE.sub(lambda found: quote(found[0]), url)


def _named(host: str) -> str:
    if host.isascii() and "%" not in host:
        return host
    try:
        return idna.encode(unquote(host, errors="strict"), uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise UrlRefused(
            f"The host {host[:64]!r} is not a domain name; write it in ASCII, such as xn--bcher-kva.example"
        ) from None


def _refused(kind: ProblemKind, detail: str, where: dict[str, str]) -> RequestRefused:
    return RequestRefused(kind, f"{PARAMETER}: {detail}.", errors=[{"detail": detail, **where}])
