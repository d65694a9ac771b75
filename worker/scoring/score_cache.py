"""Remembers outputs in Redis by input and version. Losing Redis, or an entry, costs time only."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import redis
import structlog

from serving.cache_keys import cache_keys
from serving.contract import Columns
from worker.scoring.loaded_models import ModelInstance
from worker.scoring.output_validation import valid_rows

log = structlog.get_logger(__name__)

TIMEOUT = 0.5
"""Seconds. Predicting would be quicker than waiting longer."""


class ScoreCache:
    def __init__(self, redis_url: str, seconds: int) -> None:
        """Keep outputs for so many seconds."""
        self._redis = redis.Redis.from_url(redis_url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        self._seconds = seconds
        self.hits: Counter[str] = Counter()
        """Inputs whose outputs were there, by model."""

    def get(self, model: ModelInstance, inputs: Columns) -> list[Sequence[Any] | None]:
        """Return each input's outputs, in the order of the spec's fields, or None where the cache has none.

        An entry that breaks the spec counts as none: its input is predicted and the entry replaced.
        """
        try:
            found: list[bytes | None] = self._redis.mget(list(_keys(model, inputs)))  # type: ignore[assignment]
        except redis.RedisError as error:
            log.warning("cache_unread", error=str(error))
            return [None] * len(next(iter(inputs.values())))
        outputs = valid_rows(model.spec, list(map(_decoded, found)))
        hits = len(outputs) - outputs.count(None)
        self.hits[model.spec.name] += hits
        if invalid := len(found) - found.count(None) - hits:
            log.warning("cache_entries_refused", model=model.spec.name, entries=invalid)
        return outputs

    def put(self, model: ModelInstance, inputs: Columns, outputs: Sequence[Sequence[Any]]) -> None:
        """Keep the outputs, one row an input."""
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for key, row in zip(_keys(model, inputs), outputs, strict=True):
                    pipeline.set(key, msgspec.msgpack.encode(row), ex=self._seconds)
                pipeline.execute()
        except redis.RedisError as error:
            log.warning("cache_unwritten", error=str(error))


def _decoded(value: bytes | None) -> Any:
    try:
        return None if value is None else msgspec.msgpack.decode(value)
    except (ValueError, RecursionError):  # anyone who can write to Redis can write anything
        return None


def _keys(model: ModelInstance, inputs: Columns) -> Iterator[str]:
    return cache_keys(model.spec, model.artifact.manifest, inputs)
