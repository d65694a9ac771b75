"""Makes an artifact of the text classifier from labelled texts.

    python -m models.text_classifier.train --data texts.jsonl.gz [--version 1.0.0] [--seed 7] [--out FOLDER]

writes `<out>/<version>/` and names it in `<out>/CURRENT`. Training is deterministic: the same data, seed and
libraries give the same bytes. A version, once made, never changes its contents, because predictions name it.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.text_classifier.dataset import SEED, TextDataset, TooFewTexts, split
from models.text_classifier.evaluate import HEADLINE, agreement, evaluate
from models.text_classifier.export import export
from models.text_classifier.features import SUBJECT_WEIGHT
from models.text_classifier.golden import TEXTS
from models.text_classifier.model import MODEL_FILE, TextClassifier, load
from models.text_classifier.pipeline import PARAMETERS, choose, fit, folds
from models.text_classifier.texts_file import read_texts
from serving.training import (
    BadTrainingData,
    RuntimesDisagree,
    VersionRefused,
    libraries,
    new_artifact,
    write_golden,
    write_json,
    write_manifest,
)

ARTIFACTS = Path(__file__).parent / "artifact"
LIBRARIES = ("scikit-learn", "scipy", "numpy", "skl2onnx", "onnx", "onnxruntime")

CLOSE = 1e-6
"""How far a probability may be from scikit-learn's: it is rounded to the sixth decimal."""


def train(data: TextDataset, version: str, out: Path, seed: int = SEED) -> Path:
    """Choose by cross-validation, fit and evaluate, write the artifact to `out`, and name it in CURRENT.

    Nothing under `out` changes unless all of it succeeds. Raises TooFewTexts, RuntimesDisagree and VersionRefused.
    """
    training, test = split(data, seed)
    print(f"{data.source}: {len(data)} texts, training on {len(training)}", flush=True)
    parts = folds(training, seed)
    accuracy = choose(training, parts)
    alpha = next(iter(accuracy))
    pipeline = fit(training, alpha, parts)
    with new_artifact(out, version) as made:
        export(pipeline, made / MODEL_FILE)
        classifier = load(made)
        write_golden(made, _golden(classifier))
        print(f"evaluating on {len(test)} texts", flush=True)
        agreed = agreement(classifier, pipeline, test.texts)
        if agreed["same_label"] < len(test) or agreed["largest_difference"] > CLOSE:
            raise RuntimesDisagree(f"ONNX and scikit-learn differ on held-out texts: {agreed}")
        evaluation = evaluate(classifier, training, test)
        evaluation |= {
            "agreement_with_scikit_learn": agreed,
            "cross_validation": {f"smoothing {name}": round(value, 5) for name, value in sorted(accuracy.items())},
        }
        write_json(made / "evaluation.json", evaluation)
        manifest = {
            "labels": classifier.labels,
            "data": {
                "source": data.source,
                "sha256": data.sha256,
                "texts": len(data),
                "by_label": dict(sorted(Counter(data.labels.tolist()).items())),
                "groups": len(set(data.groups.tolist())),
                "seed": seed,
            },
            "parameters": {**PARAMETERS, "smoothing": alpha, "subject_weight": SUBJECT_WEIGHT},
            "libraries": libraries(*LIBRARIES),
            "metrics": {name: evaluation["model"][name] for name in HEADLINE},
        }
        write_manifest(made, manifest)
    return out / version


def _golden(classifier: TextClassifier) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    outputs = classifier.predict({"text": TEXTS})
    for row, text in enumerate(TEXTS):
        yield {"text": text}, {name: values[row] for name, values in outputs.items()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.text_classifier.train", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="labelled texts, .jsonl or .jsonl.gz")
    parser.add_argument("--version", help="default: data- and 8 digits of the file's sha256")
    parser.add_argument("--seed", type=int, default=SEED, help="of the split and of the cross-validation")
    parser.add_argument("--out", type=Path, default=ARTIFACTS, help="folder that takes <version>/ and CURRENT")
    asked = parser.parse_args(arguments)
    try:
        data = read_texts(asked.data)
        folder = train(data, asked.version or f"data-{data.sha256[:8]}", asked.out, asked.seed)
    except (BadTrainingData, TooFewTexts, RuntimesDisagree, VersionRefused) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    metrics = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["metrics"]
    print(f"wrote {folder}: " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
