"""The text classifier in memory: an ONNX model, which also holds the words and the labels that it knows.

Load after the fork, never before: ONNX Runtime has threads of its own.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime import InferenceSession

from models.text_classifier.features import Vocabulary
from serving.artifact import ModelMismatch
from serving.contract import Columns
from serving.onnx import session

MODEL_FILE = "model.onnx"

DECIMALS = 6
"""Digits past the sixth are noise of the arithmetic, which differs between processors."""


class TextClassifier:
    """A loaded artifact. One thread: the worker processes are the parallelism."""

    def __init__(self, opened: InferenceSession) -> None:
        about = opened.get_modelmeta().custom_metadata_map
        if missing := {"words", "labels"} - about.keys():
            raise ModelMismatch(f"the model file has no {' and no '.join(sorted(missing))}; train.py writes them there")
        self._session = opened
        self._vocabulary = Vocabulary(about["words"].split("\n"))
        self.labels: list[str] = json.loads(about["labels"])

    def predict(self, columns: Columns) -> dict[str, Any]:
        """Return label and probability, and the probabilities of all labels. A text of unknown words gets them even."""
        texts = columns["text"]
        if not len(texts):
            return {"label": [], "probability": [], "labels": [], "probabilities": []}
        words = self._vocabulary.count(texts)
        feeds = {**words._asdict(), "size": np.array([len(texts)])}
        found, best = self._session.run(["probabilities", "best"], feeds)
        probabilities = found.round(DECIMALS)
        return {
            "label": [self.labels[number] for number in best],
            "probability": probabilities.max(axis=1).tolist(),
            "labels": [self.labels] * len(texts),
            "probabilities": probabilities.tolist(),
        }


def load(artifact: Path) -> TextClassifier:
    """Load the model file of an artifact's folder; it alone is the model. Raises ModelMismatch."""
    return TextClassifier(session(artifact / MODEL_FILE))
