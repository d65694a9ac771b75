"""Which services of the running platform are well."""

import time
import urllib.request
from collections.abc import Callable, Mapping
from urllib.error import URLError

import redis

from broker import address
from devstack import local

SILENT = 60.0
"""Seconds after its last round from which on rescue is not well; the alert RescueSilent goes by the same."""

TIMEOUT = 1.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot reach our loopback

Up = Mapping[str, bool | str]
"""By service: whether it is well, or why it is not, where that is known."""


def up() -> Up:
    """Say of each service that we know the address of whether it answers, and does what it is there for."""
    answers: dict[str, bool | str] = {name: _is_well(name, page) for name, page in local.services().items()}
    if url := local.redis_url():
        answers["Redis"] = _redis(url)
    return {**answers, **dict.fromkeys(local.failing(), "keeps ending")}


def _redis(url: str) -> bool | str:
    try:
        address.refuse_cluster(address.usable(url))
        with redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT) as client:
            return bool(client.ping())
    except address.UnusableRedis as error:
        return f"REDIS_URL: {error}"
    except redis.RedisError as error:
        said = address.explain(error)
        return False if said == str(error) else said


def _is_well(name: str, page: str) -> bool:
    try:
        with _DIRECT.open(page, timeout=TIMEOUT) as answer:
            content = answer.read().decode()
    except (URLError, OSError):
        return False
    check = _CHECKS.get(name)
    return check is None or check(content)


def _scores(metrics: str) -> bool:
    return _value(metrics, 'millrace_worker_processes{state="ready"}') > 0


def _comes_round(metrics: str) -> bool:
    return time.time() - _value(metrics, "millrace_rescue_last_round_timestamp_seconds") < SILENT


def _value(metrics: str, sample: str) -> float:
    found = (line.rpartition(" ") for line in metrics.splitlines())
    return next((float(value) for name, _, value in found if name == sample), 0.0)


_CHECKS: Mapping[str, Callable[[str], bool]] = {"model pool": _scores, "rescue": _comes_round}
"""What a page must say, where to answer is not enough: of a page of metrics that is a thread by itself."""
