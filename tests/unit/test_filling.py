"""Many values at a time make the same histogram as one after the other."""

import time

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from uuid_utils.compat import uuid7

from worker.filling import fill
from worker.meters import SCORES, submitted


@pytest.mark.parametrize(
    "values", [[], [0.5], [0.0, 0.01, 0.010001, 1.0, 2.0, -1.0, 0.99], list(np.linspace(0, 1.5, 1_000))]
)
def test_filling_is_observing_each(values: list[float]) -> None:
    shown = []
    for at_once in (True, False):
        registry = CollectorRegistry()
        histogram = Histogram("scores", "of a model", buckets=SCORES, registry=registry)
        if at_once:
            fill(histogram, np.array(values, dtype=np.float64))
        else:
            for value in values:
                histogram.observe(value)
        text = generate_latest(registry).decode()
        shown.append([line for line in text.splitlines() if "_bucket" in line or "_count" in line])
    assert shown[0] == shown[1]


def test_an_id_says_when_it_was_made() -> None:
    now = time.time()
    assert submitted([uuid7(), uuid7()]).tolist() == pytest.approx([now, now], abs=5)
