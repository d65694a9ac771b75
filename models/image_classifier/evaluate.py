"""Held-out quality of the image classifier on each kind of image that it meets, beside two plain baselines.

    python -m models.image_classifier.evaluate [--json FILE] [--plot FILE.svg]

measures the current artifact on the digits of people whose other digits it was not trained on.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from evaluation import reference
from evaluation.pictures.confusion import draw
from models.image_classifier.dataset import LABELS, Digits, digits, split
from models.image_classifier.features import Preparation
from models.image_classifier.model import ImageClassifier, load
from models.image_classifier.spec import SPEC
from serving.artifact import ArtifactMissing, current
from serving.training import write_json

BINS = 10
DIGITS = 5


def evaluate(classifier: ImageClassifier, training: Digits, test: Digits) -> dict[str, Any]:
    """Measure the classifier on held-out images as they are, inverted, and enlarged; and the baselines as they are."""
    plain = _pixels(training), _pixels(test)
    baselines = {
        "logistic_regression": LogisticRegression(max_iter=1_000),
        "nearest_neighbour": KNeighborsClassifier(1),
    }
    return {
        "data": {"source": "scikit-learn's digits", "sha256": test.sha256},
        "held_out_images": len(test),
        "scores": reference.of_numbers(
            classifier.predict({"image": test.files, "top_n": [1] * len(test)})["probability"]
        ),
        "light_on_dark": measure(classifier, test),
        "dark_on_light": measure(classifier, test.inverted()),
        "enlarged_jpeg": measure(classifier, test.enlarged()),
        "baseline_accuracy": {
            name: round(float(baseline.fit(plain[0], training.digits).score(plain[1], test.digits)), DIGITS)
            for name, baseline in baselines.items()
        },
    }


def measure(classifier: ImageClassifier, test: Digits) -> dict[str, Any]:
    """Return accuracy, precision, recall and F1 by label, the confusion matrix and the calibration."""
    ranked = classifier.predict({"image": test.files, "top_n": [len(LABELS)] * len(test)})
    position = {label: number for number, label in enumerate(LABELS)}
    order = np.array([[position[label] for label in row] for row in ranked["labels"]])
    confidence = np.array(ranked["probability"])
    guessed, right = order[:, 0], order[:, 0] == test.digits
    confusion = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(confusion, (test.digits, guessed), 1)
    hits = confusion.diagonal()
    precision, recall = hits / np.maximum(confusion.sum(axis=0), 1), hits / np.maximum(confusion.sum(axis=1), 1)
    f1 = 2 * hits / np.maximum(confusion.sum(axis=0) + confusion.sum(axis=1), 1)
    bins = calibration(confidence, right)
    gaps = sum(b["images"] * abs(b["mean_probability"] - b["share_right"]) for b in bins)
    return {
        "accuracy": _rounded(right.mean()),
        "top_3_accuracy": _rounded((order[:, :3] == test.digits[:, None]).any(axis=1).mean()),
        "macro_f1": _rounded(f1.mean()),
        "calibration_error": _rounded(gaps / len(right)),
        "by_label": {
            label: {"precision": _rounded(precision[n]), "recall": _rounded(recall[n]), "f1": _rounded(f1[n])}
            for n, label in enumerate(LABELS)
        },
        "confusion": {"rows_are": "the digit", "columns_are": "the guess", "counts": confusion.tolist()},
        "calibration": bins,
    }


def calibration(confidence: NDArray[Any], right: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return mean probability and share of right labels by bins of equal width (arXiv:1706.04599, section 2)."""
    numbers = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {
            "images": int((numbers == number).sum()),
            "mean_probability": _rounded(confidence[numbers == number].mean()),
            "share_right": _rounded(right[numbers == number].mean()),
        }
        for number in np.unique(numbers)
    ]


def _pixels(data: Digits) -> NDArray[np.float32]:
    return Preparation(8, (0.0,), (1.0,)).matrix(data.files).reshape(len(data), -1)


def _rounded(value: Any) -> float:
    return round(float(value), DIGITS)


def table(evaluation: dict[str, Any]) -> str:
    """Return the figures as a Markdown table with one column a kind of image."""
    kinds = ("light_on_dark", "dark_on_light", "enlarged_jpeg")
    figures = ("accuracy", "top_3_accuracy", "macro_f1", "calibration_error")
    lines = [f"| | {' | '.join(kind.replace('_', ' ') for kind in kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    lines += [
        f"| {name.replace('_', ' ')} | {' | '.join(f'{evaluation[kind][name]:.3f}' for kind in kinds)} |"
        for name in figures
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.image_classifier.evaluate")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--plot", type=Path, help="draw the confusion matrix here, as SVG")
    asked = parser.parse_args(arguments)
    try:
        artifact = current(SPEC.name)
    except ArtifactMissing as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    if artifact.manifest["labels"] != LABELS:
        print(f"error: version {artifact.version} does not classify digits, and only they are here", file=sys.stderr)
        return 2
    training, test = split(digits())
    evaluation = evaluate(load(artifact.path), training, test)
    print(f"{SPEC.name} {artifact.version} on {len(test)} held-out images\n{table(evaluation)}")
    print("baselines:", ", ".join(f"{name} {value:.3f}" for name, value in evaluation["baseline_accuracy"].items()))
    if asked.json:
        write_json(asked.json, evaluation)
    if asked.plot:
        asked.plot.write_text(draw(LABELS, evaluation["light_on_dark"]["confusion"]["counts"]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
