"""Versions of the models of the repository: as they are on disk, and others of the report scorer, to add."""

import json
from pathlib import Path

import xgboost as xgb

from models.report_scorer.model import INTERCEPT, MODEL_FILE, load
from registry.administration import NewVersion
from registry.builtin import CODE
from registry.versions import ModelVersion
from serving import artifact, catalogue
from serving.artifact import Artifact

TABLE = "report_scores"


def on_disk(model: str) -> tuple[ModelVersion, Artifact]:
    """Return the version that is in the checkout, as a worker would load it from the registry."""
    found, spec = artifact.current(model), catalogue.specs()[model]
    runtime = f"{CODE}{model}"
    return ModelVersion(model, found.version, runtime, spec.table, None, found.manifest, found.evaluation, ""), found


def recalibrated(folder: Path, version: str, intercept: float) -> NewVersion:
    """Make a version whose scores differ from those of the repository's, in the same order."""
    booster = _booster()
    booster.set_attr(**{INTERCEPT: str(intercept)})
    return _saved(booster, folder / version)


def weakened(folder: Path, version: str, trees: int) -> NewVersion:
    """Make a version of the first few trees: worse than the repository's."""
    whole = _booster()
    booster = whole[:trees]
    booster.set_attr(**whole.attributes())
    booster.feature_names = whole.feature_names
    return _saved(booster, folder / version)


def _booster() -> xgb.Booster:
    return xgb.Booster(model_file=artifact.current("report_scorer").path / MODEL_FILE)


def _saved(booster: xgb.Booster, made: Path) -> NewVersion:
    """Return the version that is named as its folder, with golden rows of its own."""
    current = artifact.current("report_scorer")
    made.mkdir(parents=True)
    booster.save_model(made / MODEL_FILE)
    rows = [row["input"] for row in current.golden()]
    scores = load(made).predict({name: [row[name] for row in rows] for name in rows[0]})["score"].tolist()
    lines = [json.dumps({"input": row, "output": {"score": score}}) for row, score in zip(rows, scores, strict=True)]
    (made / "golden.jsonl").write_text("\n".join(lines) + "\n")
    return _new(made, made.name)


def broken(folder: Path, version: str) -> NewVersion:
    """Make a version whose file is none of XGBoost's."""
    made = folder / version
    made.mkdir(parents=True)
    (made / MODEL_FILE).write_bytes(b"no model")
    (made / "golden.jsonl").write_text("")
    return _new(made, version)


def _new(made: Path, version: str) -> NewVersion:
    files = {file.name: file for file in made.iterdir()}
    return NewVersion("report_scorer", TABLE, runtime=f"{CODE}report_scorer", schema=None, files=files, version=version)


def misremembered(folder: Path, version: str) -> NewVersion:
    """Make a version that loads, and whose golden rows have other scores than it gives."""
    new = recalibrated(folder, version, 2.0)
    golden = new.files["golden.jsonl"]
    rows = [json.loads(line) for line in golden.read_text().splitlines()]
    rows[1]["output"]["score"] = 1 - rows[1]["output"]["score"]
    golden.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return new
