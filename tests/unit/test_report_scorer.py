import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import xgboost as xgb

from models.report_scorer import train as training
from models.report_scorer.dataset import ReportDataset, probability, split, synthesize
from models.report_scorer.features import FEATURES, features
from models.report_scorer.model import MODEL_FILE, ReportScorer, load
from models.report_scorer.spec import SPEC, Report, ReportPriority
from serving.artifact import Artifact, ModelMismatch, verify
from serving.catalogue import FOLDER

SHIPPED = FOLDER / "report_scorer" / "artifact" / training.VERSION
ARTIFACT = Artifact(SHIPPED, json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8")))
LARGEST = 2**31 - 1


@pytest.fixture(scope="module")
def scorer() -> ReportScorer:
    return load(ARTIFACT.path)


@pytest.fixture(scope="module")
def data() -> ReportDataset:
    return synthesize(2_000, seed=3)


def as_lists(data: ReportDataset) -> dict[str, list[Any]]:
    return {name: values.tolist() for name, values in data.columns.items()}


def scores(scorer: ReportScorer, columns: Any) -> list[float]:
    found: list[float] = scorer.predict(columns)["score"].tolist()
    return found


# The artifact


def test_the_shipped_artifact_is_the_one_its_manifest_describes() -> None:
    verify(ARTIFACT)
    assert {*ARTIFACT.manifest["sha256"], "manifest.json"} == {file.name for file in ARTIFACT.path.iterdir()}
    assert tuple(ARTIFACT.manifest["features"]) == FEATURES
    assert sum(file.stat().st_size for file in ARTIFACT.path.iterdir()) < 1_000_000


def test_the_golden_rows_are_valid_reports_and_score_as_recorded(scorer: ReportScorer) -> None:
    rows = list(ARTIFACT.golden())
    assert len(rows) == 20
    for row in rows:
        Report.model_validate(row["input"])
        ReportPriority.model_validate(row["output"])
    columns = {name: [row["input"][name] for row in rows] for name in FEATURES}
    assert scores(scorer, columns) == pytest.approx([row["output"]["score"] for row in rows], abs=2e-6)


LOAD_IN_A_FORK = """
import os, sys
from pathlib import Path
from models.report_scorer.model import load
child = os.fork()
if child == 0:
    columns = {"abuse_type": ["MSG"] * 3, **{name: [1] * 3 for name in sys.argv[2:]}}
    os._exit(len(load(Path(sys.argv[1])).predict(columns)["score"]))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_can_load_and_score_when_its_parent_has_loaded_nothing() -> None:
    command = [sys.executable, "-c", LOAD_IN_A_FORK, str(ARTIFACT.path), *FEATURES[1:]]
    assert subprocess.run(command, cwd=FOLDER.parent, timeout=60, check=False).returncode == 3


# Scoring


def test_scores_keep_the_order_of_the_reports(scorer: ReportScorer, data: ReportDataset) -> None:
    forwards = scores(scorer, data.columns)
    backwards = scores(scorer, {name: values[::-1] for name, values in data.columns.items()})
    assert backwards[::-1] == forwards
    assert len(set(forwards)) > 1_000


def test_reports_score_the_same_alone_as_in_a_crowd(scorer: ReportScorer, data: ReportDataset) -> None:
    together = scores(scorer, data.columns)
    singly = [scores(scorer, {name: [v[i].item()] for name, v in data.columns.items()})[0] for i in range(100)]
    thirds = [data.rows(part) for part in np.array_split(np.arange(len(data)), 3)]
    assert singly == together[:100]
    assert [score for third in thirds for score in scores(scorer, third.columns)] == together


def test_lists_and_arrays_score_the_same(scorer: ReportScorer, data: ReportDataset) -> None:
    assert scores(scorer, as_lists(data)) == scores(scorer, data.columns)


@pytest.mark.parametrize("abuse_type", ["MSG", "PRF"])
@pytest.mark.parametrize("count", [0, 1, LARGEST])
@pytest.mark.parametrize("rating", [0, 5e-324, 5, 1.7e308])
def test_the_edges_of_the_spec_get_a_probability(
    scorer: ReportScorer, abuse_type: str, count: int, rating: float
) -> None:
    report = dict(zip(FEATURES, (abuse_type, count, rating, min(count, 5), count), strict=True))
    Report.model_validate(report)
    matrix = features({name: [value] for name, value in report.items()})
    assert np.isfinite(matrix).all()
    [score] = scores(scorer, {name: [value] for name, value in report.items()})
    assert 0 <= score <= 1
    assert score == round(score, 6)


def test_no_reports_get_no_scores(scorer: ReportScorer) -> None:
    assert scores(scorer, {name: [] for name in FEATURES}) == []


def test_the_callers_key_does_not_influence_the_score(scorer: ReportScorer, data: ReportDataset) -> None:
    columns = as_lists(data)
    named = {"report_id": [f"r-{i}" for i in range(len(data))], **columns}
    unnamed = {**columns, "report_id": [None] * len(data)}
    assert scores(scorer, named) == scores(scorer, unnamed) == scores(scorer, columns)


def test_every_input_but_the_key_is_a_feature() -> None:
    assert set(FEATURES) == set(Report.model_fields) - {SPEC.key}


def test_an_unknown_abuse_type_is_not_scored_as_another(scorer: ReportScorer, data: ReportDataset) -> None:
    with pytest.raises(KeyError, match="VID"):
        scorer.predict({**as_lists(data), "abuse_type": ["VID"] * len(data)})


@pytest.mark.parametrize("names", [FEATURES[::-1], FEATURES[:4], None])
def test_a_model_of_other_features_is_refused(tmp_path: Path, names: tuple[str, ...] | None) -> None:
    booster = xgb.Booster(model_file=ARTIFACT.path / MODEL_FILE)
    booster.feature_names = None
    if names is None or len(names) == len(FEATURES):
        booster.feature_names = list(names) if names else None
    else:
        matrix = xgb.DMatrix(np.ones((4, len(names))), [0, 1, 0, 1], feature_names=list(names), nthread=1)
        booster = xgb.train({"nthread": 1}, matrix, 1)
    booster.save_model(tmp_path / MODEL_FILE)
    with pytest.raises(ModelMismatch, match="this code builds"):
        load(tmp_path)


def test_a_model_without_calibration_is_refused(tmp_path: Path) -> None:
    booster = xgb.Booster(model_file=ARTIFACT.path / MODEL_FILE)
    booster.set_attr(calibration_slope=None)
    booster.save_model(tmp_path / MODEL_FILE)
    with pytest.raises(ModelMismatch, match="no calibration"):
        load(tmp_path)


# Quality


def test_the_generator_keeps_its_promises() -> None:
    data = synthesize()
    assert data.truth is not None
    assert data.sha256 == ARTIFACT.manifest["data"]["sha256"]
    assert np.array_equal(data.truth, probability(data.columns))
    assert 0.08 < data.label.mean() < 0.12
    assert abs(data.label.mean() - data.truth.mean()) < 0.002
    assert data.truth.min() >= 0.01
    for row in (json.loads(line) for line in pl.DataFrame(as_lists(data.rows(np.arange(500)))).write_ndjson().split()):
        Report.model_validate(row)


def test_no_row_is_in_two_parts(data: ReportDataset) -> None:
    numbered = ReportDataset("numbered", "", {"row": np.arange(len(data))}, data.label)
    parts = [part.columns["row"] for part in split(numbered, seed=1)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(data)))
    assert [round(len(part) / len(data), 2) for part in parts] == [0.6, 0.2, 0.2]
    assert np.concatenate(parts).tolist() == np.concatenate([p.columns["row"] for p in split(numbered, 1)]).tolist()


def test_the_model_beats_the_baseline_and_nears_the_best_possible() -> None:
    model, baseline, ceiling = (ARTIFACT.evaluation[name] for name in ("model", "baseline", "ceiling"))
    for figure in ("roc_auc", "average_precision"):
        assert baseline[figure] + 0.05 < model[figure] < ceiling[figure]
        assert model[figure] > ceiling[figure] - 0.015
    for figure in ("log_loss", "brier"):
        assert ceiling[figure] < model[figure] < ceiling[figure] + 0.004
        assert model[figure] < baseline[figure]


def test_the_scores_are_calibrated_probabilities() -> None:
    model = ARTIFACT.evaluation["model"]
    assert model["calibration_error"] < 0.01
    for part in model["calibration"]:
        assert part["mean_score"] == pytest.approx(part["observed_rate"], abs=0.03)


def test_fresh_data_confirms_the_recorded_quality(scorer: ReportScorer) -> None:
    fresh = synthesize(40_000, seed=12345)
    assert fresh.truth is not None
    error = np.abs(scorer.predict(fresh.columns)["score"] - fresh.truth)
    assert error.mean() < 0.02
