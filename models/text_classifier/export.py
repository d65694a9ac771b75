"""Writes a fitted pipeline as ONNX: everything past the words, over the pairs of text and word that there are.

The converter of skl2onnx makes a dense matrix of all texts and all words; here the same arithmetic, in the same
precision, gathers the rows of the words that a text has and adds them up.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx.helper import set_model_props
from skl2onnx.algebra import onnx_ops
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType
from sklearn.pipeline import Pipeline

OPSET = 18
"""The first in which ScatterND adds."""

TINY = np.array([1e-300])


def export(pipeline: Pipeline, file: Path) -> None:
    """Write the model with its words and labels. It takes what `Vocabulary.count` gives, and the number of texts."""
    counts, tf_idf, calibrated = (step for _, step in pipeline.steps)
    [fitted] = calibrated.calibrated_classifiers_
    [temperature] = fitted.calibrators
    bayes = fitted.estimator

    number = [("texts", Int64TensorType([None])), ("terms", Int64TensorType([None]))]
    inputs = [*number, ("counts", DoubleTensorType([None])), ("size", Int64TensorType([1]))]
    weights = _op("Mul", _op("Add", _op("Log", "counts"), np.ones(1)), _op("Gather", tf_idf.idf_, "terms"))
    column = _op("Unsqueeze", weights, np.array([1]))
    norm = _op("Max", _op("Sqrt", _sum(_op("Mul", column, column), 1)), TINY)
    evidence = _sum(
        _op("Mul", column, _op("Gather", bayes.feature_log_prob_.T.copy(), "terms")), len(calibrated.classes_)
    )
    logits = _op("Add", _op("Div", evidence, norm), bayes.class_log_prior_)
    sharpened = _op("Mul", logits, np.array([temperature.beta_]))
    probabilities = _op("Softmax", sharpened, axis=1, output_names=["probabilities"])
    best = _op("ArgMax", probabilities, axis=1, keepdims=0, output_names=["best"])

    outputs = [("probabilities", DoubleTensorType([None, len(calibrated.classes_)])), ("best", Int64TensorType([None]))]
    model = best.to_onnx(inputs, outputs=outputs, target_opset=OPSET, other_outputs=[probabilities])
    words = counts.get_feature_names_out().tolist()
    set_model_props(model, {"labels": json.dumps(calibrated.classes_.tolist()), "words": "\n".join(words)})
    file.write_bytes(model.SerializeToString(deterministic=True))


def _sum(rows: Any, width: int) -> Any:
    """Add the rows of each text up, in their order, so that a text's sum is the same in any company."""
    zeros = _op("Expand", np.zeros((1, width)), _op("Concat", "size", np.array([width]), axis=0))
    return _op("ScatterND", zeros, _op("Unsqueeze", "texts", np.array([1])), rows, reduction="add")


def _op(name: str, *inputs: Any, **attributes: Any) -> Any:
    return getattr(onnx_ops, f"Onnx{name}")(*inputs, op_version=OPSET, **attributes)
