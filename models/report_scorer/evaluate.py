"""Held-out quality of the report scorer beside a plain baseline and, on synthetic data, beside the best possible.

    python -m models.report_scorer.evaluate [--data reports.csv --label label [--weight COLUMN] [--split COLUMN]]
        [--json FILE] [--plot FILE.svg]

measures the current artifact on the test part of its data: the rows that neither training nor calibration saw.
With `--data` the file is dealt out in the same way, and its training part fits the baseline only. Where rows have
weights, each counts in every metric as often as it says.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from evaluation import reference
from evaluation.pictures import reliability
from models.report_scorer.dataset import ReportDataset, TooFewRows, split, synthesize
from models.report_scorer.features import features
from models.report_scorer.model import ReportScorer, load
from models.report_scorer.reports_file import read_reports
from models.report_scorer.spec import SPEC
from serving.artifact import ArtifactMissing, current
from serving.training import BadTrainingData

DIGITS = 5
"""More would differ between processors and say nothing: the fourth already moves with another test part."""

TOPS = (0.01, 0.05, 0.10)
EPSILON = 1e-9
"""What a sum of weights may be off by."""

GIVEN = "given"
"""In a manifest: the data said which rows test."""

HEADLINE = ("roc_auc", "average_precision", "log_loss", "brier", "calibration_error")


def evaluate(scorer: ReportScorer, training: ReportDataset, test: ReportDataset) -> dict[str, Any]:
    """Measure the scorer, a logistic regression fitted on `training`, and the truth where it is known, on `test`."""
    scores = scorer.predict(test.columns)["score"]
    evaluation: dict[str, Any] = {
        "data": {"source": test.source, "sha256": test.sha256},
        "rows": len(test),
        "positive_rate": round(float(np.average(test.label, weights=test.weight)), DIGITS),
        **({"scores": reference.of_numbers(scores)} if test.weight is None else {}),  # else it is no picture of all
        "model": measure(test.label, scores, test.weight),
        "baseline": measure(test.label, _baseline(training, test), test.weight),
    }
    if test.truth is not None:
        evaluation["ceiling"] = measure(test.label, test.truth, test.weight)
    return evaluation


def measure(
    label: NDArray[np.int64], score: NDArray[np.float64], weight: NDArray[np.float64] | None = None
) -> dict[str, Any]:
    """Return every metric of one scorer; `calibration_error` weighs each bin's gap by its rows."""
    weight = np.ones(len(label)) if weight is None else weight
    bins = calibration(label, score, weight)
    gaps = [b["weight"] * abs(b["mean_score"] - b["observed_rate"]) for b in bins]
    figures = {
        "roc_auc": roc_auc_score(label, score, sample_weight=weight),
        "average_precision": average_precision_score(label, score, sample_weight=weight),
        "log_loss": log_loss(label, score, sample_weight=weight),
        "brier": brier_score_loss(label, score, sample_weight=weight),
        "calibration_error": sum(gaps) / weight.sum(),
    }
    order = np.argsort(-score, kind="stable")
    above = np.cumsum(weight[order])  # how many reports rank as high as this one or higher
    tops = {share: max(1, int(np.searchsorted(above, share * above[-1] * (1 + EPSILON), "right"))) for share in TOPS}
    return {
        **{name: round(float(value), DIGITS) for name, value in figures.items()},
        "precision_at_top": {
            f"{share:.0%}": round(float(np.average(label[order[:rows]], weights=weight[order[:rows]])), DIGITS)
            for share, rows in tops.items()
        },
        "calibration": [{name: value for name, value in b.items() if name != "weight"} for b in bins],
    }


def calibration(
    label: NDArray[np.int64], score: NDArray[np.float64], weight: NDArray[np.float64], bins: int = 10
) -> list[dict[str, float]]:
    """Return mean score and observed rate of equally many rows at a time, lowest scores first."""
    return [
        {
            "rows": len(part),
            "weight": float(weight[part].sum()),
            "mean_score": round(float(np.average(score[part], weights=weight[part])), DIGITS),
            "observed_rate": round(float(np.average(label[part], weights=weight[part])), DIGITS),
        }
        for part in np.array_split(np.argsort(score, kind="stable"), bins)
        if len(part)
    ]


def _baseline(training: ReportDataset, test: ReportDataset) -> NDArray[np.float64]:
    """Score with a logistic regression on logarithms, their squares and products: raw counts would be a straw man."""
    regression = make_pipeline(
        FunctionTransformer(np.log1p),
        StandardScaler(),
        PolynomialFeatures(degree=2, include_bias=False),
        LogisticRegression(max_iter=1_000),
    )
    regression.fit(features(training.columns), training.label, logisticregression__sample_weight=training.weight)
    score: NDArray[np.float64] = regression.predict_proba(features(test.columns))[:, 1]
    return score


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.report_scorer.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="labelled reports, .csv or .parquet; default: the synthetic data")
    parser.add_argument("--label", default="label", help="column of the file that is 1 for real abuse, else 0")
    parser.add_argument("--weight", help="column of the file with how many reports a row stands for; default: itself")
    parser.add_argument("--split", help="column of the file that is train or test; default: a fifth is drawn to test")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--plot", type=Path, help="draw the reliability diagram here, as SVG")
    asked = parser.parse_args(arguments)
    try:
        artifact = current(SPEC.name)
        trained_on, seed = artifact.manifest["data"]["source"], artifact.manifest["data"]["seed"]
        if asked.data is None and trained_on != "synthetic":
            raise BadTrainingData(f"version {artifact.version} was trained on {trained_on}; give that file with --data")
        data = (
            synthesize(seed=seed)
            if asked.data is None
            else read_reports(asked.data, asked.label, asked.weight, asked.split)
        )
        _require_same_deal(artifact.manifest["data"], data)
        training, _, test = split(data, seed)
    except (ArtifactMissing, BadTrainingData, TooFewRows) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    evaluation = evaluate(load(artifact.path), training, test)
    print(f"{SPEC.name} {artifact.version} on {len(test)} held-out rows of {data.source}")
    print(table(evaluation))
    if asked.json:
        asked.json.write_text(json.dumps(evaluation, indent=2) + "\n", encoding="utf-8")
    if asked.plot:
        bins = {name: evaluation[name]["calibration"] for name in ("model", "baseline")}
        asked.plot.write_text(reliability.draw(bins, "share of real abuse"), encoding="utf-8")
    return 0


def _require_same_deal(trained: dict[str, Any], data: ReportDataset) -> None:
    """Refuse to deal out anew a file that said itself which rows test: some of them have trained the artifact."""
    if trained["sha256"] != data.sha256:
        return
    if trained.get("split") == GIVEN and data.held_out is None:
        raise BadTrainingData(f"{data.source}: the artifact was trained with --split on it; give that column here, too")
    if "stands_for" in trained and data.weight is None:
        raise BadTrainingData(f"{data.source}: the artifact was trained with --weight on it; give that column, too")


def table(evaluation: dict[str, Any]) -> str:
    """Return the figures as a Markdown table with one column a scorer."""
    scorers = [name for name in ("model", "baseline", "ceiling") if name in evaluation]
    figures = [(name, [evaluation[scorer][name] for scorer in scorers]) for name in HEADLINE]
    figures += [
        (f"precision in the top {share}", [evaluation[scorer]["precision_at_top"][share] for scorer in scorers])
        for share in evaluation["model"]["precision_at_top"]
    ]
    lines = [f"| | {' | '.join(scorers)} |", "|---" * (len(scorers) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(f'{value:.4f}' for value in values)} |" for name, values in figures]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
