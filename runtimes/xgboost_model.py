"""XGBoost's boosters, from `.ubj` and `.json`."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from runtimes.description import DescribedFeature, Description, FeatureKind, NotSupported, Output
from runtimes.tabular import Matrix, TabularOptions, contributions, matrix, options_of, outputs
from serving.artifact import Artifact
from serving.contract import Columns
from serving.explanation import Contributions

FILE = "model.ubj"

_KINDS: dict[str, FeatureKind] = {"c": "category", "i": "boolean", "int": "whole number"}
"""By XGBoost's types of features; the others are numbers."""

_CLASSES = ("multi:softprob", "multi:softmax")


def describe(file: Path) -> Description:
    """Return what the booster says. Raises NotSupported, and XGBoostError for a file that is none."""
    booster = _read(file)
    learner = json.loads(booster.save_config())["learner"]
    objective, parameters = learner["objective"]["name"], learner["learner_model_param"]
    if int(parameters.get("num_target", "1")) > 1:
        raise NotSupported("it predicts several targets at once; train and add one model for each")
    if learner["gradient_booster"]["name"] == "gblinear":
        raise NotSupported("it is a linear model (gblinear); train it with scikit-learn and export that to ONNX")
    output: Output = "value"
    if objective == "binary:logistic":
        output = "binary"
    elif objective in _CLASSES:
        output = "classes"
    names: Sequence[str | None] = booster.feature_names or [None] * booster.num_features()
    types = booster.feature_types or ["float"] * len(names)
    categories = _categories(booster)
    features = tuple(
        DescribedFeature(name, _KINDS.get(kind, "number"), categories.get(place) if kind == "c" else None)
        for place, (name, kind) in enumerate(zip(names, types, strict=True))
    )
    classes = tuple(map(str, range(int(parameters["num_class"])))) if output == "classes" else ()
    return Description(features, output, takes_missing=True, classes=classes)


def _read(file: Path) -> xgb.Booster:
    """Read JSON or UBJSON by the content: of a file, XGBoost goes by the suffix."""
    return xgb.Booster(model_file=bytearray(file.read_bytes()))


def _categories(booster: xgb.Booster) -> dict[int, tuple[str, ...]]:
    """Return the categories that the file holds, by the feature's place: XGBoost 3.1 and later keep a data frame's.

    `Booster.get_categories` gives them only with pyarrow.
    """
    trees = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]
    found = trees.get("gbtree", trees).get("model", {}).get("cats", {}).get("enc", [])
    made = {}
    for place, encoded in enumerate(found):
        values, offsets = encoded.get("values", []), encoded.get("offsets")
        if offsets:
            made[place] = tuple(bytes(values[begin:end]).decode() for begin, end in pairwise(offsets))
        elif values:
            made[place] = tuple(map(str, values))
    return made


class XGBoostModel:
    """A loaded booster. One thread: the worker's processes are the parallelism."""

    def __init__(self, booster: xgb.Booster, options: TabularOptions) -> None:
        booster.set_param({"nthread": 1})
        self._booster = booster
        self._options = options
        self._objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
        self._rounds = _rounds(booster)

    def predict(self, columns: Columns) -> dict[str, Any]:
        rows = matrix(columns, self._options.features, np.float32)
        softmax = self._objective == "multi:softmax"
        given = self._booster.inplace_predict(
            rows,
            iteration_range=self._rounds,
            predict_type="margin" if softmax else "value",
            validate_features=False,
        )
        return outputs(_softmax(given) if softmax else given, self._options)

    def explain(self, columns: Columns) -> Contributions:
        """Return exact Shapley values of the trees (Lundberg et al., Nature Machine Intelligence 2020)."""
        rows = xgb.DMatrix(
            matrix(columns, self._options.features, np.float32), feature_types=self._booster.feature_types
        )
        given = self._booster.predict(
            rows, pred_contribs=True, iteration_range=self._rounds, validate_features=False, strict_shape=True
        )
        if self._options.output != "classes":
            return contributions(given[:, 0], self._options)
        return contributions(given, self._options, given.sum(axis=2))


def _rounds(booster: xgb.Booster) -> tuple[int, int]:
    """Return the rounds that count: scikit-learn's wrapper leaves out those after the best one, a booster does not."""
    if booster.attr("scikit_learn") is not None and booster.attr("best_iteration") is not None:
        return (0, booster.best_iteration + 1)
    return (0, 0)


def _softmax(margin: Matrix) -> Matrix:
    shifted = np.exp(margin - margin.max(axis=1, keepdims=True))
    made: Matrix = shifted / shifted.sum(axis=1, keepdims=True)
    return made


def load(found: Artifact) -> XGBoostModel:
    return XGBoostModel(_read(found.path / FILE), options_of(found.manifest))
