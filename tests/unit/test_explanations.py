"""Contributions and base add up to the margin that the library itself gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import xgboost as xgb

from models.report_scorer.model import load
from runtimes.lightgbm_model import LightGBMModel
from runtimes.tabular import MatrixColumn, TabularOptions, matrix
from runtimes.xgboost_model import XGBoostModel
from serving.artifact import current
from serving.explanation import Contributions
from tests.unit import test_runtimes as zoo

CLASSES = ("label", "probability", "labels", "probabilities")


def options(sample: pd.DataFrame, output: str) -> TabularOptions:
    features = [
        MatrixColumn(str(name), tuple(values.cat.categories) if values.dtype == "category" else None)
        for name, values in sample.items()
    ]
    classes = ("0", "1", "2") if output == "classes" else ()
    return TabularOptions(tuple(features), output, CLASSES if classes else ("score",), classes)


def columns(sample: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): values.astype(object).where(values.notna(), None).tolist() for name, values in sample.items()}


def added_up(found: Contributions) -> Any:
    return np.sum([*found.columns.values(), found.base], axis=0)


def chosen(margins: Any) -> Any:
    """Return of several classes the margin of the one that is chosen."""
    return margins.max(axis=1) if margins.ndim == 2 else margins


@pytest.mark.parametrize(
    ("made", "output"),
    [
        (zoo.xgboost_binary, "binary"),
        (zoo.xgboost_classes, "classes"),
        (zoo.xgboost_unnamed_regression, "value"),
        (zoo.xgboost_early_stopping, "binary"),
    ],
)
def test_xgboosts_contributions_add_up(made: Callable[[Path], zoo.Made], output: str, tmp_path: Path) -> None:
    sample, expected = made(tmp_path / "model")
    (file,) = tmp_path.iterdir()
    model = XGBoostModel(xgb.Booster(model_file=file), options(sample, output))
    found = added_up(model.explain(columns(sample)))
    given = np.asarray(expected, dtype=float)
    if output == "binary":
        np.testing.assert_allclose(1 / (1 + np.exp(-found)), given, atol=1e-5)
    elif output == "value":
        np.testing.assert_allclose(found, given, atol=1e-4)
    else:
        rows = np.column_stack([sample[name] for name in sample]).astype(np.float32)
        margins = xgb.Booster(model_file=file).inplace_predict(rows, predict_type="margin", validate_features=False)
        np.testing.assert_allclose(found, chosen(margins), atol=1e-4)


@pytest.mark.parametrize(
    ("made", "output"),
    [(zoo.lightgbm_binary, "binary"), (zoo.lightgbm_classes, "classes"), (zoo.lightgbm_regression, "value")],
)
def test_lightgbms_contributions_add_up(made: Callable[[Path], zoo.Made], output: str, tmp_path: Path) -> None:
    sample, _ = made(tmp_path / "model")
    (file,) = tmp_path.iterdir()
    booster = lgb.Booster(model_file=str(file))
    asked = options(sample, output)
    found = added_up(LightGBMModel(booster, asked).explain(columns(sample)))
    rows = matrix(columns(sample), asked.features, np.float64)
    np.testing.assert_allclose(found, chosen(np.asarray(booster.predict(rows, raw_score=True))), atol=1e-9)


def test_the_report_scorers_contributions_add_up_to_its_score() -> None:
    chance = np.random.default_rng(4)
    reports = {
        "abuse_type": chance.choice(["MSG", "PRF"], 500).tolist(),
        "report_text_len": chance.integers(0, 2_000, 500).tolist(),
        "profile_rating": chance.uniform(0, 5, 500).tolist(),
        "popularity": chance.integers(0, 6, 500).tolist(),
        "lifetime_matches_created": chance.integers(0, 900, 500).tolist(),
    }
    scorer = load(current("report_scorer").path)
    found = scorer.explain(reports)
    assert set(found.columns) == set(reports)
    np.testing.assert_allclose(1 / (1 + np.exp(-added_up(found))), scorer.predict(reports)["score"], atol=1e-5)
    assert max(np.abs(found.columns["report_text_len"])) > 0.5
