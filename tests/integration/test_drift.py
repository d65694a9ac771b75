"""A model whose scores move away from those of its held-out rows is noticed."""

from itertools import pairwise

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine
from uuid_utils.compat import uuid7

from models.report_scorer.spec import SPEC
from registry import versions
from registry.versions import predictions_of
from rescue.metrics import RescueMetrics
from serving import artifact, catalogue, drift
from store.copying import copy
from store.drift import histogram
from store.engine import WatchedEngine
from store.tables import tasks


def store(engine: Engine, scores: list[float], version: str = "1.0.0") -> None:
    task_id, rows = uuid7(), len(scores)
    with engine.begin() as connection:
        connection.execute(tasks.insert().values(id=task_id, model=SPEC.name, n_inputs=rows))
        columns = {
            "task_id": np.frombuffer(task_id.bytes * rows, "V16"),
            "position": np.arange(rows),
            "abuse_type": ["MSG"] * rows,
            "report_text_len": [1] * rows,
            "profile_rating": [1.0] * rows,
            "popularity": [1] * rows,
            "lifetime_matches_created": [1] * rows,
            "report_id": [None] * rows,
            "score": np.array(scores),
            "model_version": [version] * rows,
        }
        copy(connection, predictions_of(SPEC), columns)


def shown(engine: Engine) -> float | None:
    registry = CollectorRegistry()
    with engine.connect() as connection:
        models = versions.read(connection)
    RescueMetrics(registry).refresh(WatchedEngine(engine, 4), models)
    labels = {"model": SPEC.name, "version": "1.0.0"}
    return registry.get_sample_value("millrace_score_drift_index", labels)


def as_held_out(count: int) -> list[float]:
    """Scores in the middle of each part of the held-out ones."""
    edges = [0.0, *artifact.current(SPEC.name).evaluation["scores"]["edges"], 1.0]
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    return [middles[place % len(middles)] for place in range(count)]


def test_scores_as_in_training_have_not_drifted(engine: Engine) -> None:
    store(engine, as_held_out(2_000))
    index = shown(engine)
    assert index is not None
    assert index < 0.01


def test_scores_that_moved_are_seen_although_older_ones_did_not(engine: Engine) -> None:
    store(engine, as_held_out(1_000))
    store(engine, [0.9] * 1_000)
    index = shown(engine)
    assert index is not None
    assert index > 0.25


def test_a_few_scores_say_nothing(engine: Engine) -> None:
    store(engine, [0.9] * (drift.ENOUGH - 1))
    assert shown(engine) is None


@pytest.mark.parametrize("model", ["image_classifier", "report_scorer", "text_classifier"])
def test_a_model_with_a_score_comes_with_what_it_is_compared_with(model: str) -> None:
    assert catalogue.specs()[model].score
    held_out = artifact.current(model).evaluation["scores"]
    assert len(held_out["shares"]) == len(held_out["edges"]) + 1 > 2
    assert held_out["edges"] == sorted(set(held_out["edges"]))
    assert sum(held_out["shares"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "scores", [[0.5] * 1_000, [number / 1_000 for number in range(1_000)], [1.0] * 900 + [0.2] * 100]
)
def test_a_reference_lies_at_no_distance_from_itself(scores: list[float]) -> None:
    found = drift.reference(scores)
    assert sum(found["shares"]) == pytest.approx(1)
    counts = [round(share * len(scores)) for share in found["shares"]]
    assert drift.index(found["shares"], counts) == pytest.approx(0, abs=1e-3)


def test_a_version_with_few_predictions_has_no_more_read_for_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be the whole table, which takes minutes when it is large."""
    monkeypatch.setattr("store.drift.LATEST", 100)
    store(engine, as_held_out(50))
    with engine.begin() as connection:
        of_it = histogram(connection, predictions_of(SPEC), "score", "1.0.0", [0.5])
        other = histogram(connection, predictions_of(SPEC), "score", "2.0.0", [0.5])
    assert (sum(of_it), sum(other)) == (50, 0)
    store(engine, as_held_out(200), version="2.0.0")
    with engine.begin() as connection:
        assert sum(histogram(connection, predictions_of(SPEC), "score", "1.0.0", [0.5])) == 0
