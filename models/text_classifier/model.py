"""Labels texts with ONNX Runtime."""

import json
from pathlib import Path

import numpy as np

from models.artifact import MANIFEST
from models.contract import Columns
from models.onnx import session
from models.text_classifier.features import weights

MODEL_FILE = "model.onnx"
VOCABULARY_FILE = "vocabulary.txt"
BATCH = 64
"""Texts at a time: the weights are dense, and a large matrix of zeros falls out of the processor's cache."""


class TextClassifier:
    def __init__(self, folder: Path) -> None:
        self._session = session(folder / MODEL_FILE)
        words = (folder / VOCABULARY_FILE).read_text(encoding="utf-8").splitlines()
        self._vocabulary = {word: number for number, word in enumerate(words)}
        self._labels: list[str] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["labels"]

    def predict(self, columns: Columns) -> Columns:
        texts = list(columns["text"])
        parts = [
            self._session.run(["probabilities"], {"weights": weights(texts[begin : begin + BATCH], self._vocabulary)})[
                0
            ]
            for begin in range(0, len(texts), BATCH)
        ]
        probabilities = np.concatenate(parts) if parts else np.empty((0, len(self._labels)), np.float32)
        best = probabilities.argmax(axis=1) if len(texts) else []
        return {
            "label": [self._labels[number] for number in best],
            "probability": probabilities.max(axis=1, initial=0).clip(0, 1).astype(float),
            "labels": [self._labels] * len(texts),
            "probabilities": probabilities.clip(0, 1).astype(float),
        }


def load(artifact: Path) -> TextClassifier:
    return TextClassifier(artifact)
