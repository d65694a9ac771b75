"""How well the text classifier does on texts that training did not see."""

import re
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_recall_fscore_support

from models.text_classifier.documents import Documents
from models.text_classifier.model import TextClassifier

BINS = 10
HEADER = re.compile(r"\A(?:[A-Za-z-]+: .*\n)+")
"""The lines at the head of a post: From, Subject, Organization …"""


def evaluate(classifier: TextClassifier, held_out: Documents) -> dict[str, Any]:
    """Return precision, recall and F1, in all and by label, the confusion matrix, and the calibration."""
    predicted = classifier.predict({"text": held_out.texts})
    labels: list[str] = list(predicted["labels"][0])
    truth, guess = held_out.labels, np.array(predicted["label"])
    probabilities = np.asarray(predicted["probabilities"])
    confidence, right = np.asarray(predicted["probability"]), truth == guess
    bare = [HEADER.sub("", text) or text for text in held_out.texts]
    known = truth[:, None] == np.array(labels)
    return {
        "held_out_texts": len(held_out),
        "accuracy": float(accuracy_score(truth, guess)),
        **{
            f"{average}_{name}": float(value)
            for average in ("micro", "macro", "weighted")
            for name, value in zip(
                ("precision", "recall", "f1"),
                precision_recall_fscore_support(truth, guess, average=average, zero_division=0)[:3],
                strict=True,
            )
        },
        "by_label": {
            label: {"precision": float(p), "recall": float(r), "f1": float(f), "texts": int(n)}
            for label, p, r, f, n in zip(
                labels, *precision_recall_fscore_support(truth, guess, labels=labels, zero_division=0), strict=True
            )
        },
        "confusion": {
            "labels": labels,
            "rows_are": "the label",
            "columns_are": "the guess",
            "counts": confusion_matrix(truth, guess, labels=labels).tolist(),
        },
        "accuracy_without_header_lines": float((np.array(classifier.predict({"text": bare})["label"]) == truth).mean()),
        "log_loss": float(log_loss(truth, probabilities / probabilities.sum(axis=1, keepdims=True), labels=labels)),
        "brier": float(((probabilities - known) ** 2).sum(axis=1).mean()),
        "calibration_error": _calibration_error(confidence, right),
        "calibration": _bins(confidence, right),
    }


def _bins(confidence: Any, right: Any) -> list[dict[str, float]]:
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {
            "texts": int((place == number).sum()),
            "mean_probability": float(confidence[place == number].mean()),
            "accuracy": float(right[place == number].mean()),
        }
        for number in range(BINS)
        if (place == number).any()
    ]


def _calibration_error(confidence: Any, right: Any) -> float:
    """Return the expected calibration error: |probability - accuracy| by bin, weighted (arXiv:1706.04599, eq. 3)."""
    bins = _bins(confidence, right)
    return sum(b["texts"] * abs(b["mean_probability"] - b["accuracy"]) for b in bins) / len(right)
