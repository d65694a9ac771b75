"""CatBoost's models, from `.cbm`."""

from pathlib import Path
from typing import Any

import catboost
import numpy as np

from runtimes.description import DescribedFeature, Description, NotSupported, Output
from runtimes.tabular import TabularOptions, numbers, options_of, outputs
from serving.artifact import Artifact
from serving.contract import Columns

FILE = "model.cbm"
MISSING = "nan"
"""How CatBoost writes a category that is missing."""

_OUTPUTS: dict[str, Output] = {"Logloss": "binary", "CrossEntropy": "binary", "MultiClass": "classes"}


def describe(file: Path) -> Description:
    """Return what the model says. Raises NotSupported, and CatBoostError for a file that is none."""
    model = _read(file)
    loss = str(model.get_all_params().get("loss_function", "")).partition(":")[0]
    if model.get_text_feature_indices() or model.get_embedding_feature_indices():
        raise NotSupported("it reads texts or embeddings; export it to ONNX, or train it on numbers and categories")
    output = _OUTPUTS.get(loss, "value")
    categorical = set(model.get_cat_feature_indices())
    names = [str(name) for name in model.feature_names_]
    unnamed = names == [str(place) for place in range(len(names))]
    features = tuple(
        DescribedFeature(None if unnamed else name, "text" if place in categorical else "number")
        for place, name in enumerate(names)
    )
    classes = tuple(map(str, model.classes_)) if output == "classes" else ()
    return Description(features, output, takes_missing=True, classes=classes)


class CatBoostModel:
    """A loaded model. One thread: the worker's processes are the parallelism."""

    def __init__(self, model: catboost.CatBoost, options: TabularOptions) -> None:
        self._model = model
        self._options = options
        self._categorical = set(model.get_cat_feature_indices())

    def predict(self, columns: Columns) -> dict[str, Any]:
        made = []
        for place, feature in enumerate(self._options.features):
            values = columns[feature.column]
            if place in self._categorical:
                made.append(np.array([MISSING if value is None else str(value) for value in values], dtype=object))
            else:
                made.append(numbers(values).astype(object if self._categorical else np.float64))
        kind = "RawFormulaVal" if self._options.output == "value" else "Probability"
        given = self._model.predict(np.column_stack(made), prediction_type=kind, thread_count=1)
        return outputs(given[:, 1] if self._options.output == "binary" else given, self._options)


def _read(file: Path) -> catboost.CatBoost:
    model = catboost.CatBoost()
    model.load_model(str(file), format="cbm")
    return model


def load(found: Artifact) -> CatBoostModel:
    return CatBoostModel(_read(found.path / FILE), options_of(found.manifest))
