"""The score cache, on a real Redis."""

import dataclasses

from pydantic import BaseModel

from models import artifact
from models.catalogue import specs
from models.contract import Columns
from tests.conftest import Servers, empty_redis
from worker.cache import Cache
from worker.residency import Resident

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
    cache = Cache(empty_redis(servers, 7), seconds=60)
    before = Resident(SPEC, artifact.current(SPEC.name), Silent())
    after = dataclasses.replace(before, spec=dataclasses.replace(SPEC, output=Terse))
    cache.write(before, INPUTS, [ROW])
    assert cache.read(before, INPUTS) == [[*ROW]]
    assert cache.read(after, INPUTS) == [None]
