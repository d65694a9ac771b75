"""Reads REDIS_URL for redis-py and kombu alike, finds out what cannot be used, and says what is wrong with Redis."""

import re
import ssl
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

import redis
import structlog
from pydantic import AfterValidator
from redis.connection import parse_url
from redis.exceptions import AskError, ClusterCrossSlotError, ClusterDownError, MovedError

from broker.timeouts import CONNECT_TIMEOUT

log = structlog.get_logger(__name__)

LIKE_THIS = "redis://:password@host:port/0"

PARAMETERS = {
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": ("true", "false"),
    "ssl_ca_certs": (),
    "ssl_certfile": (),
    "ssl_keyfile": (),
}
"""What both clients understand, with the values that it may have; the others are files."""

CLUSTER = "this Redis is in cluster mode, which Celery cannot use: give a Redis or Valkey without it"
SENTINEL = (
    "Sentinel is not supported: give the address of the primary, or of a proxy or service endpoint that follows it; "
    "Redis may lose everything, so a restart somewhere else loses no task"
)


class UnusableRedis(ValueError):
    """REDIS_URL cannot be used; the message says why, and quotes no password."""


def usable(url: str) -> str:
    """Return the URL as both clients take it: rediss:// verifies certificates unless it says otherwise.

    kombu alone would verify none (https://github.com/celery/kombu/blob/main/kombu/connection.py). Raises UnusableRedis.
    """
    scheme, _, _ = url.partition("://")
    if "sentinel" in scheme:
        raise UnusableRedis(SENTINEL)
    if scheme not in ("redis", "rediss"):
        raise UnusableRedis(f"it must be like {LIKE_THIS}, or rediss://… for TLS")
    try:
        parse_url(url)  # type: ignore[no-untyped-call]
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        if "," in (parts.hostname or ""):
            raise UnusableRedis(f"several hosts are not supported. {SENTINEL}")
        if parts.hostname is None or not re.fullmatch("/?[0-9]*", parts.path):
            raise ValueError
    except UnusableRedis:
        raise
    except ValueError:  # its message may quote a part of the password
        raise UnusableRedis(f"it must be like {LIKE_THIS}; in a password write @ as %40, / as %2F, : as %3A") from None
    for name, value in given.items():
        if name not in PARAMETERS or scheme == "redis":
            remedy = "use rediss:// for TLS" if name in PARAMETERS else f"supported are {', '.join(PARAMETERS)}"
            raise UnusableRedis(f"the parameter {name!r} is not supported: {remedy}")
        if PARAMETERS[name] and value not in PARAMETERS[name]:
            raise UnusableRedis(f"{name} must be {' or '.join(PARAMETERS[name])}")
        if not PARAMETERS[name] and not Path(value).is_file():
            raise UnusableRedis(f"{name}: there is no file {value!r} that this program can read")
    if scheme == "rediss" and "ssl_cert_reqs" not in given:
        return f"{url}{'&' if parts.query else '?'}ssl_cert_reqs=required"
    return url


RedisUrl = Annotated[str, AfterValidator(usable)]


def refuse_cluster(url: str) -> None:
    """Raise UnusableRedis when this Redis is in cluster mode; one that cannot be asked now may be well later.

    The question is one that the user of deploy/redis/users.acl may ask: INFO is not. A cluster has no other database.
    """
    first = urlsplit(url)._replace(path="/0").geturl()
    asked = redis.Redis.from_url(first, socket_timeout=CONNECT_TIMEOUT, socket_connect_timeout=CONNECT_TIMEOUT)
    with closing(asked):
        try:
            asked.mget(["cache:1", "cache:2"])
        except (ClusterCrossSlotError, ClusterDownError, MovedError, AskError):
            raise UnusableRedis(CLUSTER) from None
        except (redis.RedisError, OSError):
            return


def end_without_use(url: str) -> None:
    """End this program, which is about to start, where Redis is of no use to it."""
    try:
        refuse_cluster(url)
    except UnusableRedis as error:
        log.critical("redis_unusable", reason=f"REDIS_URL: {error}")
        sys.exit(1)


def explain(error: BaseException) -> str:
    """Say in a sentence why Redis cannot be used, with what to do where that is known."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            remedy = "name its authority in REDIS_URL: rediss://…?ssl_ca_certs=/path/ca.pem"
            return f"Redis's certificate cannot be verified ({cause.verify_message}): {remedy}"
        if isinstance(cause, ssl.SSLError):
            return f"Redis does not speak TLS as REDIS_URL says ({cause.reason}): use redis://, or its port for TLS"
        if isinstance(cause, redis.AuthenticationError):
            return "Redis refuses the user or the password of REDIS_URL"
    return str(error)


def in_public(error: BaseException) -> str:
    """Say the same without an address of the network."""
    said = explain(error)
    away = any(isinstance(cause, OSError | redis.ConnectionError | redis.TimeoutError) for cause in _causes(error))
    return "Redis cannot be reached" if away and said == str(error) else said


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
