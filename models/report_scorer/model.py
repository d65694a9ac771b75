"""The report scorer in memory: XGBoost trees and the calibration that turns their margin into a probability.

Load after the fork, never before: a process forked from one that has used the trees can hang in them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from models.report_scorer.features import FEATURES, features
from serving.artifact import ModelMismatch
from serving.explanation import Contributions

MODEL_FILE = "model.ubj"
SLOPE, INTERCEPT = "calibration_slope", "calibration_intercept"

DECIMALS = 6
"""A probability estimated from some ten thousand positives is not known better than to two or three digits.

The digits past the sixth are float32 noise, which differs between processors; without them a score looks the
same everywhere and takes half the room in JSON.
"""


class ReportScorer:
    """A loaded artifact. One thread: the worker processes are the parallelism, and threads fight over the cores."""

    def __init__(self, booster: xgb.Booster) -> None:
        names = tuple(booster.feature_names or ())
        if names != FEATURES:
            raise ModelMismatch(f"the model file reads {names or 'unnamed features'}, this code builds {FEATURES}")
        slope, intercept = booster.attr(SLOPE), booster.attr(INTERCEPT)
        if slope is None or intercept is None:
            raise ModelMismatch("the model file holds no calibration; train.py writes it there")
        self._slope, self._intercept = float(slope), float(intercept)
        self._booster = booster
        self._booster.set_param({"nthread": 1})

    def predict(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
        """Return `score`, one probability in [0, 1] a report, in the order of the reports."""
        matrix = features(columns)
        if not len(matrix):
            return {"score": np.empty(0)}
        margin = margins(self._booster, matrix)
        score = 1 / (1 + np.exp(-(self._slope * margin + self._intercept)))
        return {"score": score.round(DECIMALS)}

    def explain(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> Contributions:
        """Return exact Shapley values of the trees, calibrated as the score is: in log odds."""
        matrix = xgb.DMatrix(features(columns), feature_names=list(FEATURES), nthread=1)
        values = self._slope * self._booster.predict(matrix, pred_contribs=True).astype(np.float64)
        named = dict(zip(FEATURES, values.T, strict=False))  # the last is the base
        return Contributions(named, values[:, -1] + self._intercept)


def margins(booster: xgb.Booster, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the sum of the trees' leaves for each row: log odds before calibration."""
    return booster.inplace_predict(matrix, predict_type="margin").astype(np.float64)


def load(artifact: Path) -> ReportScorer:
    """Load the model file of an artifact's folder; it alone is the model, calibration and feature order included.

    Raises ModelMismatch when it was made for other features.
    """
    return ReportScorer(xgb.Booster(model_file=artifact / MODEL_FILE))
