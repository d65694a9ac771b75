"""Remembers outputs in Redis by input and version. Losing Redis, or an entry, costs time only."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import redis
import structlog

from models.contract import Columns
from worker.residency import Resident

log = structlog.get_logger(__name__)

PREFIX = "cache:"
"""Entries end by themselves: with `maxmemory-policy volatile-lru` Redis drops them before it refuses a message."""

TIMEOUT = 0.5
"""Seconds. Longer than that, and it would be quicker to predict."""


class Cache:
    def __init__(self, redis_url: str, seconds: int) -> None:
        """Keep outputs for so many seconds."""
        self._redis = redis.Redis.from_url(redis_url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        self._seconds = seconds
        self.hits: Counter[str] = Counter()
        """Inputs whose outputs were there, by model."""

    def read(self, resident: Resident, inputs: Columns) -> list[Sequence[Any] | None]:
        """Return each input's outputs, in the order of the spec's fields, or None for those that are not known."""
        try:
            found: list[bytes | None] = self._redis.mget(list(_keys(resident, inputs)))  # type: ignore[assignment]
            outputs = [None if value is None else msgspec.msgpack.decode(value) for value in found]
            self.hits[resident.spec.name] += len(outputs) - outputs.count(None)
            return outputs
        except (redis.RedisError, msgspec.DecodeError) as error:
            log.warning("cache_unread", error=str(error))
            return [None] * len(next(iter(inputs.values())))

    def write(self, resident: Resident, inputs: Columns, outputs: Sequence[Sequence[Any]]) -> None:
        """Keep the outputs, one row an input."""
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for key, row in zip(_keys(resident, inputs), outputs, strict=True):
                    pipeline.set(key, msgspec.msgpack.encode(row), ex=self._seconds)
                pipeline.execute()
        except redis.RedisError as error:
            log.warning("cache_unwritten", error=str(error))


def _keys(resident: Resident, inputs: Columns) -> Iterator[str]:
    """The caller's own key says nothing about the output; everything else of the input does."""
    fields = [values for name, values in inputs.items() if name != resident.spec.key]
    of = f"{PREFIX}{resident.spec.name}:{_fingerprint(resident)}:"
    for row in zip(*fields, strict=True):
        yield of + hashlib.sha256(msgspec.msgpack.encode(row)).hexdigest()


def _fingerprint(resident: Resident) -> str:
    """Two artifacts of one version's name could differ, on a developer's machine; their files' hashes do not lie.

    And what a model gives may change with its code alone: rows of other columns are of no use.
    """
    made_by = (resident.artifact.manifest, resident.spec.output_columns)
    return hashlib.sha256(msgspec.json.encode(made_by, order="sorted")).hexdigest()[:16]
