"""How well the image classifier does on images that training did not see."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.image_classifier.dataset import LABELS, Digits
from models.image_classifier.model import ImageClassifier

BINS = 10


def evaluate(classifier: ImageClassifier, test: Digits) -> dict[str, Any]:
    """Return accuracy, precision, recall and F1 by label, the confusion matrix and the calibration."""
    ranked = classifier.predict({"image": test.files, "top_n": [len(LABELS)] * len(test)})
    position = {label: number for number, label in enumerate(LABELS)}
    order = np.array([[position[label] for label in row] for row in ranked["labels"]])
    confidence = np.array(ranked["probability"])
    guessed, right = order[:, 0], order[:, 0] == test.digits
    confusion = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(confusion, (test.digits, guessed), 1)
    hits = confusion.diagonal()
    precision, recall = hits / np.maximum(confusion.sum(axis=0), 1), hits / confusion.sum(axis=1)
    f1 = 2 * hits / (confusion.sum(axis=0) + confusion.sum(axis=1))
    return {
        "held_out_images": len(test),
        "accuracy": float(right.mean()),
        "top_3_accuracy": float((order[:, :3] == test.digits[:, None]).any(axis=1).mean()),
        "macro_f1": float(f1.mean()),
        "calibration_error": calibration_error(confidence, right),
        "by_label": {
            label: {"precision": float(precision[n]), "recall": float(recall[n]), "f1": float(f1[n])}
            for n, label in enumerate(LABELS)
        },
        "confusion": {
            "labels": LABELS,
            "rows_are": "the digit",
            "columns_are": "the guess",
            "counts": confusion.tolist(),
        },
    }


def calibration_error(confidence: NDArray[Any], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error: |confidence - accuracy| by bin, weighted (arXiv:1706.04599, eq. 3)."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs((confidence[bins == b] - right[bins == b]).sum()) for b in range(BINS)]
    return float(sum(gaps) / len(right))
