"""LightGBM's boosters, from the text that `Booster.save_model` writes."""

import re
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from runtimes.description import DescribedFeature, Description, Output
from runtimes.tabular import TabularOptions, contributions, matrix, options_of, outputs
from serving.artifact import Artifact
from serving.contract import Columns
from serving.explanation import Contributions

FILE = "model.txt"
UNNAMED = re.compile(r"Column_[0-9]+")
"""What LightGBM calls the features of an array."""

_CLASSES = ("multiclass", "multiclassova", "softmax")


def describe(file: Path) -> Description:
    """Return what the booster says. Raises LightGBMError for a file that is none."""
    booster = lgb.Booster(model_file=str(file))
    found = booster.dump_model(num_iteration=1)
    objective = str(found.get("objective", "")).partition(" ")[0]
    output: Output = "binary" if objective == "binary" else "classes" if objective in _CLASSES else "value"
    names = found["feature_names"]
    unnamed = all(map(UNNAMED.fullmatch, names))
    categories = iter(booster.pandas_categorical or [])
    features = []
    for name in names:
        shown = None if unnamed else str(name)
        if found["feature_infos"].get(name, {}).get("values"):  # a number has only a range
            known = next(categories, None)
            features.append(DescribedFeature(shown, "category", tuple(map(str, known)) if known else None))
        else:
            features.append(DescribedFeature(shown))
    classes = tuple(map(str, range(int(found["num_class"])))) if output == "classes" else ()
    return Description(tuple(features), output, takes_missing=True, classes=classes)


class LightGBMModel:
    """A loaded booster. One thread: the worker's processes are the parallelism."""

    def __init__(self, booster: lgb.Booster, options: TabularOptions) -> None:
        self._booster = booster
        self._options = options

    def predict(self, columns: Columns) -> dict[str, Any]:
        rows = matrix(columns, self._options.features, np.float64)
        return outputs(np.asarray(self._booster.predict(rows, num_threads=1)), self._options)

    def explain(self, columns: Columns) -> Contributions:
        """Return exact Shapley values of the trees (Lundberg et al., Nature Machine Intelligence 2020)."""
        rows = matrix(columns, self._options.features, np.float64)
        given = np.asarray(self._booster.predict(rows, pred_contrib=True, num_threads=1))
        if self._options.output != "classes":
            return contributions(given, self._options)
        by_class = given.reshape(len(rows), len(self._options.classes), -1)
        return contributions(by_class, self._options, by_class.sum(axis=2))


def load(found: Artifact) -> LightGBMModel:
    return LightGBMModel(lgb.Booster(model_file=str(found.path / FILE)), options_of(found.manifest))
