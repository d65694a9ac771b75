"""The score cache, on a real Redis."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import redis
from pydantic import BaseModel

from serving import artifact
from serving.catalogue import specs
from serving.contract import Columns
from tests.conftest import Servers, empty_redis
from worker.scoring.loaded_models import ModelInstance
from worker.scoring.score_cache import ScoreCache

SPEC = specs()["text_classifier"]
INPUTS = {"text": ["The goalie made 40 saves."], "document_id": [None]}
ROW = ("hockey", 0.9, ["hockey", "space"], [0.9, 0.1])


class Silent:
    def predict(self, columns: Columns) -> Columns:
        raise AssertionError("nobody asks it")


class Terse(BaseModel):
    """What the model would give after a change of its code alone."""

    label: str


def test_what_a_model_with_other_outputs_left_is_not_taken(servers: Servers) -> None:
    cache = ScoreCache(empty_redis(servers, 7), seconds=60)
    before = ModelInstance(SPEC, artifact.current(SPEC.name), Silent())
    after = dataclasses.replace(before, spec=dataclasses.replace(SPEC, output=Terse))
    cache.put(before, INPUTS, [ROW])
    assert cache.get(before, INPUTS) == [ROW]
    assert cache.get(after, INPUTS) == [None]


def _entries() -> Iterator[bytes]:
    """What could lie under the key of an entry, other than an entry."""
    label, probability, labels, probabilities = ROW
    yield from (b"", b"junk", b"\xff\xfe", b"\xc1", b"\x91" * 100_000, b"[" * 100_000)
    for wrong in (
        None,
        5,
        "hockey",
        {},
        [],
        [label],
        [*ROW, 1],
        [None] * 4,
        [label, "0.9", labels, probabilities],
        [label, 1.5, labels, probabilities],
        [label, float("nan"), labels, probabilities],
        [label, float("inf"), labels, probabilities],
        [label, True, labels, probabilities],
        [5, probability, labels, probabilities],
        ["\0", probability, labels, probabilities],
        [label, probability, label, probabilities],
        [label, probability, ["a\0"], probabilities],
        [label, probability, [5], probabilities],
        [label, probability, labels, ["x"]],
        [label, probability, labels, [float("nan")]],
        [datetime.now(UTC), probability, labels, probabilities],
    ):
        yield msgspec.msgpack.encode(wrong)


def test_an_entry_of_the_wrong_shape_type_or_value_is_a_miss(servers: Servers) -> None:
    url = empty_redis(servers, 7)
    cache, model = ScoreCache(url, seconds=60), ModelInstance(SPEC, artifact.current(SPEC.name), Silent())
    two = {"text": ["The goalie made 40 saves.", "An orbit."], "document_id": [None, None]}
    cache.put(model, two, [ROW, ROW])
    with redis.Redis.from_url(url) as client:
        forged, _ = sorted(client.keys("cache:*"))
        for entry in _entries():
            client.set(forged, entry)
            assert sorted(cache.get(model, two), key=str) == sorted([None, ROW], key=str), entry[:50]
        client.delete(forged)
        for write in (lambda key: client.lpush(key, "x"), lambda key: client.hset(key, "x", "y")):
            client.delete(forged)
            write(forged)
            assert sorted(cache.get(model, two), key=str) == sorted([None, ROW], key=str)
            cache.put(model, two, [ROW, ROW])  # takes its place
            assert cache.get(model, two) == [ROW, ROW]
    assert cache.hits[SPEC.name] > 0
