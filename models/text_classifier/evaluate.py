"""Held-out quality of the text classifier beside a plain baseline.

    python -m models.text_classifier.evaluate --data FILE [--json FILE] [--reliability FILE.svg] [--confusion FILE.svg]

measures the current artifact on the held-out fifth of the file. If the version was trained on this same file, that is
the fifth that it has not seen.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support
from sklearn.pipeline import Pipeline

from evaluation import reference
from evaluation.pictures import confusion, reliability
from models.text_classifier.dataset import TextDataset, TooFewTexts, split
from models.text_classifier.model import TextClassifier, load
from models.text_classifier.pipeline import baseline
from models.text_classifier.spec import SPEC
from models.text_classifier.texts_file import read_texts
from serving.artifact import ArtifactMissing, current
from serving.training import BadTrainingData

DIGITS = 5
BINS = 10
HEADLINE = ("accuracy", "macro_f1", "log_loss", "brier", "calibration_error")
AVERAGES = ("micro", "macro", "weighted")

_SENDER = re.compile(r"^From:(.*)$", re.MULTILINE | re.IGNORECASE)
_QUOTED = re.compile(r"^(\s*\w*[>|:].*|.*\b(writes|wrote|says?)\b.*:\s*)$", re.MULTILINE)


def evaluate(classifier: TextClassifier, training: TextDataset, test: TextDataset) -> dict[str, Any]:
    """Measure the classifier, and a baseline fitted on `training`, on `test`."""
    probabilities = predicted(classifier, test.texts)
    plain = baseline(training)
    bare = test.rows(np.flatnonzero([bool(_bare(text).strip()) for text in test.texts]))
    writers = {_sender(text) for text in training.texts}
    new = test.rows(np.flatnonzero([_sender(text) not in writers for text in test.texts]))
    guessed = np.array(classifier.labels)[probabilities.argmax(axis=1)]
    return {
        "data": {"source": test.source, "sha256": test.sha256},
        "held_out_texts": len(test),
        "trained_on_texts": len(training),
        "scores": reference.of_numbers(probabilities.max(axis=1)),
        "model": measure(test.labels, probabilities, classifier.labels),
        "baseline": measure(test.labels, plain.predict_proba(test.texts), plain.classes_.tolist()),
        "without_header_and_quotes": _brief(classifier, bare, [_bare(text) for text in bare.texts]),
        "by_writers_not_trained_on": _brief(classifier, new, new.texts),
        "confusion": {
            "labels": classifier.labels,
            "rows_are": "the label",
            "columns_are": "the guess",
            "counts": confusion_matrix(test.labels, guessed, labels=classifier.labels).tolist(),
        },
    }


def predicted(classifier: TextClassifier, texts: Sequence[str]) -> NDArray[np.float64]:
    """Return a row of probabilities a text."""
    found = classifier.predict({"text": texts})["probabilities"]
    return np.array(found, np.float64).reshape(len(texts), len(classifier.labels))


def measure(true: NDArray[np.str_], probabilities: NDArray[np.float64], labels: Sequence[str]) -> dict[str, Any]:
    """Return every metric of one classifier; `brier` is the sum over the labels, from 0 to 2."""
    guessed = np.array(labels)[probabilities.argmax(axis=1)]
    hit = np.array(labels) == true[:, None]
    bins = calibration(probabilities.max(axis=1), guessed == true)
    figures: dict[str, float] = {"accuracy": float(np.mean(guessed == true))}
    for average in AVERAGES:
        scores = precision_recall_fscore_support(true, guessed, labels=labels, average=average, zero_division=0.0)
        figures |= {
            f"{average}_{name}": score for name, score in zip(("precision", "recall", "f1"), scores, strict=False)
        }
    likely = np.maximum(probabilities, 1e-6)  # probabilities have six decimals, so a 0 stands for up to half of this
    figures["log_loss"] = log_loss(true, likely / likely.sum(axis=1, keepdims=True), labels=labels)
    figures["brier"] = float(((probabilities - hit) ** 2).sum(axis=1).mean())
    gaps = [part["texts"] * abs(part["mean_score"] - part["observed_rate"]) for part in bins]
    figures["calibration_error"] = sum(gaps) / len(true)
    each = precision_recall_fscore_support(true, guessed, labels=labels, zero_division=0.0)
    return {
        **{name: round(float(value), DIGITS) for name, value in figures.items()},
        "by_label": {
            label: {
                **{name: round(float(each[n][row]), DIGITS) for n, name in enumerate(("precision", "recall", "f1"))},
                "texts": int(each[3][row]),
            }
            for row, label in enumerate(labels)
        },
        "calibration": bins,
    }


def calibration(score: NDArray[np.float64], right: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Return the mean probability and the share of right guesses of equally many texts at a time, unsure ones first."""
    return [
        {
            "texts": len(part),
            "mean_score": round(float(score[part].mean()), DIGITS),
            "observed_rate": round(float(right[part].mean()), DIGITS),
        }
        for part in np.array_split(np.argsort(score, kind="stable"), BINS)
        if len(part)
    ]


def agreement(classifier: TextClassifier, pipeline: Pipeline, texts: Sequence[str]) -> dict[str, Any]:
    """Compare the ONNX model with the scikit-learn pipeline that it was made of."""
    ours, theirs = predicted(classifier, texts), pipeline.predict_proba(texts)
    same = np.array(classifier.predict({"text": texts})["label"]) == pipeline.predict(texts)
    return {
        "texts": len(texts),
        "same_label": int(same.sum()),
        "largest_difference": float(f"{np.abs(ours - theirs).max():.1e}"),
    }


def _brief(classifier: TextClassifier, part: TextDataset, texts: Sequence[str]) -> dict[str, Any]:
    if not texts:
        return {"texts": 0}
    figures = measure(part.labels, predicted(classifier, texts), classifier.labels)
    return {"texts": len(texts), "accuracy": figures["accuracy"], "macro_f1": figures["macro_f1"]}


def _bare(text: str) -> str:
    header, _, body = text.partition("\n\n")
    return _QUOTED.sub("", body if _SENDER.search(header) else text)


def _sender(text: str) -> str | None:
    found = _SENDER.search(text.partition("\n\n")[0])
    return found[1].strip() if found else None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m models.text_classifier.evaluate", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="labelled texts, .jsonl or .jsonl.gz")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--reliability", type=Path, help="draw the reliability diagram here, as SVG")
    parser.add_argument("--confusion", type=Path, help="draw the confusion matrix here, as SVG")
    asked = parser.parse_args(arguments)
    try:
        artifact = current(SPEC.name)
        training, test = split(read_texts(asked.data), artifact.manifest["data"]["seed"])
    except (ArtifactMissing, BadTrainingData, TooFewTexts) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    evaluation = evaluate(load(artifact.path), training, test)
    print(f"{SPEC.name} {artifact.version} on {len(test)} held-out texts of {test.source}")
    print(table(evaluation))
    if asked.json:
        asked.json.write_text(json.dumps(evaluation, indent=2) + "\n", encoding="utf-8")
    if asked.reliability:
        bins = {name: evaluation[name]["calibration"] for name in ("model", "baseline")}
        asked.reliability.write_text(reliability.draw(bins, "share of right labels"), encoding="utf-8")
    if asked.confusion:
        matrix = evaluation["confusion"]
        asked.confusion.write_text(confusion.draw(matrix["labels"], matrix["counts"]), encoding="utf-8")
    return 0


def table(evaluation: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    names = ["accuracy", *(f"{a}_{f}" for a in AVERAGES for f in ("precision", "recall", "f1")), *HEADLINE[2:]]
    rows = [f"| {n} | {evaluation['model'][n]:.4f} | {evaluation['baseline'][n]:.4f} |" for n in names]
    return "\n".join(["| | model | baseline |", "|---|---|---|", *rows])


if __name__ == "__main__":
    sys.exit(main())
