"""Drops cached outputs from Redis, found by the inputs that they were made of."""

from collections.abc import Sequence
from typing import Any

import redis

from broker.address import explain, usable
from registry.versions import ModelVersion
from serving.cache_keys import cache_keys
from serving.contract import Spec

TIMEOUT = 5.0
"""Seconds."""

AT_ONCE = 1_000


class CachedOutputs:
    """The outputs that Redis has of a model, whichever of its versions made them."""

    def __init__(self, redis_url: str | None, spec: Spec, versions: Sequence[ModelVersion]) -> None:
        """Raises UnusableRedis."""
        self._spec = spec
        self._versions = versions
        self._redis = None
        self.fault: str | None = None
        """Why some could not be dropped. They end by themselves."""
        self.unknown = spec.cache and redis_url is None
        """Whether there may be outputs where this program cannot look; with ENGINE=pool there are none."""
        if spec.cache and redis_url is not None:
            self._redis = redis.Redis.from_url(
                usable(redis_url), socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
            )

    @property
    def columns(self) -> list[str]:
        """The columns of a prediction that tell what was cached; none where the model has no cache."""
        return [column.name for column in self._spec.input_columns] if self._redis is not None else []

    def drop(self, rows: Sequence[Sequence[Any]]) -> None:
        """Drop the outputs for these inputs, given by `columns`."""
        if self._redis is None or not rows:
            return
        values = zip(*rows, strict=True)
        columns = {name: [_as_scored(one) for one in column] for name, column in zip(self.columns, values, strict=True)}
        keys = [key for version in self._versions for key in cache_keys(self._spec, version.manifest, columns)]
        try:
            for begin in range(0, len(keys), AT_ONCE):
                self._redis.delete(*keys[begin : begin + AT_ONCE])
        except redis.RedisError as error:
            self.fault = explain(error)


def _as_scored(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value
