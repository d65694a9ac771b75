"""Makes an artifact of the report scorer from synthetic data or from your own labelled reports.

    python -m models.report_scorer.train [--data reports.csv --label label [--weight COLUMN] [--split COLUMN]]
        [--version 1.0.0] [--seed 7] [--out FOLDER]

writes `<out>/<version>/` and names it in `<out>/CURRENT`. Training is deterministic: the same data, seed and
libraries give the same bytes. A version, once made, never changes its contents, because predictions name it.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from sklearn.linear_model import LogisticRegression

from models.report_scorer.dataset import SEED, ReportDataset, TooFewRows, split, synthesize
from models.report_scorer.evaluate import GIVEN, HEADLINE, evaluate
from models.report_scorer.features import FEATURES, features
from models.report_scorer.golden import INPUTS
from models.report_scorer.model import INTERCEPT, MODEL_FILE, SLOPE, ReportScorer, load, margins
from models.report_scorer.reports_file import read_reports
from serving.training import (
    BadTrainingData,
    VersionRefused,
    libraries,
    new_artifact,
    write_golden,
    write_json,
    write_manifest,
)

ARTIFACTS = Path(__file__).parent / "artifact"
VERSION = "1.0.0"
LIBRARIES = ("xgboost-cpu" if sys.platform == "linux" else "xgboost", "numpy", "scikit-learn", "scipy")
ROUNDS = 100
PARAMETERS: dict[str, Any] = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 6,
    "eta": 0.1,
    "min_child_weight": 20,  # a leaf of fewer rows learns the flipped labels
    "seed": 0,
    "nthread": 1,  # sums in one order, so that the same data gives the same bytes
}


def train(data: ReportDataset, version: str, out: Path, seed: int = SEED) -> Path:
    """Train, calibrate and evaluate on separate rows, write the artifact to `out`, and name it in CURRENT.

    Nothing under `out` changes unless all of it succeeds. Raises TooFewRows and VersionRefused.
    """
    training, calibration, test = split(data, seed)
    print(f"{data.source}: {len(data)} rows, {data.label.mean():.1%} positive; training on {len(training)}", flush=True)
    matrix = xgb.DMatrix(
        features(training.columns), training.label, weight=training.weight, feature_names=list(FEATURES), nthread=1
    )
    booster = xgb.train(PARAMETERS, matrix, num_boost_round=ROUNDS)
    calibrate(booster, calibration)
    with new_artifact(out, version) as made:
        booster.save_model(made / MODEL_FILE)
        scorer = load(made)
        write_golden(made, _golden(scorer))
        print(f"evaluating on {len(test)} rows", flush=True)
        evaluation = evaluate(scorer, training, test)
        write_json(made / "evaluation.json", evaluation)
        manifest = {
            "features": list(FEATURES),
            "calibration": {SLOPE: float(booster.attr(SLOPE) or 0), INTERCEPT: float(booster.attr(INTERCEPT) or 0)},
            "data": {
                "source": data.source,
                "rows": len(data),
                "positives": int(data.label.sum()),
                "sha256": data.sha256,
                "seed": seed,
                **({} if data.weight is None else {"stands_for": round(float(data.weight.sum()))}),
                **({} if data.held_out is None else {"split": GIVEN}),
            },
            "parameters": {**PARAMETERS, "rounds": ROUNDS},
            "libraries": libraries(*LIBRARIES),
            "metrics": {name: evaluation["model"][name] for name in HEADLINE},
        }
        write_manifest(made, manifest)
    return out / version


def calibrate(booster: xgb.Booster, data: ReportDataset) -> None:
    """Fit Platt's sigmoid on rows that the trees have not seen, and keep it inside the model file."""
    margin = margins(booster, features(data.columns)).reshape(-1, 1)
    platt = LogisticRegression(C=np.inf).fit(margin, data.label, sample_weight=data.weight)
    # Six digits, past which the fit's result depends on the processor.
    booster.set_attr(**{SLOPE: f"{platt.coef_[0][0]:.6f}", INTERCEPT: f"{platt.intercept_[0]:.6f}"})


def _golden(scorer: ReportScorer) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    scores = scorer.predict({name: [row[name] for row in INPUTS] for name in FEATURES})["score"].tolist()
    for row, score in zip(INPUTS, scores, strict=True):
        yield row, {"score": score}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.report_scorer.train", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="labelled reports, .csv or .parquet; default: synthetic data")
    parser.add_argument("--label", default="label", help="column of the file that is 1 for real abuse, else 0")
    parser.add_argument("--weight", help="column of the file with how many reports a row stands for; default: itself")
    parser.add_argument("--split", help="column of the file that is train or test; default: a fifth is drawn to test")
    parser.add_argument("--version", help=f"default: {VERSION}; with --data: data- and 8 digits of the file's sha256")
    parser.add_argument("--seed", type=int, default=SEED, help="of the synthetic data and of the split")
    parser.add_argument("--out", type=Path, default=ARTIFACTS, help="folder that takes <version>/ and CURRENT")
    asked = parser.parse_args(arguments)
    try:
        data = (
            read_reports(asked.data, asked.label, asked.weight, asked.split)
            if asked.data
            else synthesize(seed=asked.seed)
        )
        version = asked.version or (f"data-{data.sha256[:8]}" if asked.data else VERSION)
        folder = train(data, version, asked.out, asked.seed)
    except (BadTrainingData, TooFewRows, VersionRefused) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    metrics = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["metrics"]
    print(f"wrote {folder}: " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
