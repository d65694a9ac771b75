"""Every runtime gives what its library gives, from a file and a sample alone."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from skl2onnx import to_onnx
from sklearn.linear_model import LinearRegression, LogisticRegression

import runtimes
from registry.inspection import ModelProposal, ModelRefused, inspect

RANDOM = np.random.default_rng(0)
NUMBERS = RANDOM.normal(size=(300, 3))
WITH_GAPS = np.where(RANDOM.random((300, 3)) < 0.1, np.nan, NUMBERS)
BINARY = (NUMBERS[:, 0] + NUMBERS[:, 1] > 0).astype(int)
THREE = np.digitize(NUMBERS[:, 0], [-0.5, 0.5])
NAMES = ["mean radius", "V1", "order"]
FRAME = pd.DataFrame(WITH_GAPS, columns=NAMES)
COUNTRIES = np.array(["DE", "FR", "IT"])[THREE]
MIXED = FRAME.assign(country=pd.Categorical(COUNTRIES))

Made = tuple[pd.DataFrame, Any]
"""The sample, and what the library gives for it."""


def xgboost_binary(file: Path) -> Made:
    model = xgb.XGBClassifier(n_estimators=8, enable_categorical=True).fit(MIXED, BINARY)
    model.save_model(file.with_suffix(".ubj"))
    return MIXED, model.predict_proba(MIXED)[:, 1]


def xgboost_classes(file: Path) -> Made:
    model = xgb.XGBClassifier(n_estimators=8).fit(FRAME, THREE)
    model.save_model(file.with_suffix(".json"))
    return FRAME, model.predict_proba(FRAME)


def xgboost_softmax(file: Path) -> Made:
    data = xgb.DMatrix(WITH_GAPS, THREE)
    booster = xgb.train({"objective": "multi:softmax", "num_class": 3}, data, 5)
    booster.save_model(file.with_suffix(".ubj"))
    margin = booster.predict(data, output_margin=True)
    shares = np.exp(margin) / np.exp(margin).sum(axis=1, keepdims=True)
    return FRAME, shares


def xgboost_unnamed_regression(file: Path) -> Made:
    data = xgb.DMatrix(WITH_GAPS, NUMBERS[:, 0])
    booster = xgb.train({}, data, 5)
    booster.save_model(file.with_suffix(".ubj"))
    return FRAME, booster.predict(data)


def xgboost_ranking(file: Path) -> Made:
    data = xgb.DMatrix(WITH_GAPS, THREE, qid=np.arange(300) // 10)
    booster = xgb.train({"objective": "rank:ndcg"}, data, 5)
    booster.save_model(file.with_suffix(".ubj"))
    return FRAME, booster.predict(data)


def xgboost_early_stopping(file: Path) -> Made:
    model = xgb.XGBClassifier(n_estimators=60, early_stopping_rounds=2)
    model.fit(FRAME[:200], BINARY[:200], eval_set=[(FRAME[200:], BINARY[200:])], verbose=False)
    model.save_model(file.with_suffix(".ubj"))
    return FRAME, model.predict_proba(FRAME)[:, 1]


def lightgbm_binary(file: Path) -> Made:
    model = lgb.LGBMClassifier(n_estimators=8, verbose=-1).fit(MIXED, BINARY)
    model.booster_.save_model(file.with_suffix(".txt"))
    return MIXED, model.predict_proba(MIXED)[:, 1]


def lightgbm_classes(file: Path) -> Made:
    booster = lgb.train(
        {"objective": "multiclass", "num_class": 3, "verbose": -1}, lgb.Dataset(WITH_GAPS, THREE), num_boost_round=5
    )
    booster.save_model(file.with_suffix(".txt"))
    return FRAME, booster.predict(WITH_GAPS)


def lightgbm_regression(file: Path) -> Made:
    booster = lgb.train({"verbose": -1}, lgb.Dataset(WITH_GAPS, NUMBERS[:, 0]), num_boost_round=5)
    booster.save_model(file.with_suffix(".txt"))
    return FRAME, booster.predict(WITH_GAPS)


def catboost_binary(file: Path) -> Made:
    frame = FRAME.assign(country=COUNTRIES)
    model = catboost.CatBoostClassifier(
        iterations=8, verbose=False, cat_features=["country"], allow_writing_files=False
    )
    model.fit(frame, BINARY)
    model.save_model(str(file.with_suffix(".cbm")))
    return frame, model.predict_proba(frame)[:, 1]


def catboost_classes(file: Path) -> Made:
    model = catboost.CatBoostClassifier(
        iterations=8, verbose=False, loss_function="MultiClass", allow_writing_files=False
    )
    model.fit(FRAME, THREE)
    model.save_model(str(file.with_suffix(".cbm")))
    return FRAME, model.predict_proba(FRAME)


def catboost_regression(file: Path) -> Made:
    model = catboost.CatBoostRegressor(iterations=8, verbose=False, allow_writing_files=False).fit(FRAME, NUMBERS[:, 0])
    model.save_model(str(file.with_suffix(".cbm")))
    return FRAME, model.predict(FRAME)


def onnx(file: Path, model: Any, truth: Any, *, zipmap: bool = False) -> Any:
    numbers = NUMBERS.astype(np.float32)
    model.fit(numbers, truth)
    options = {"zipmap": zipmap} if hasattr(model, "predict_proba") else None
    made = to_onnx(model, numbers[:1], options=options)
    file.with_suffix(".onnx").write_bytes(made.SerializeToString())
    return pd.DataFrame(numbers.astype(float), columns=NAMES)


def onnx_binary(file: Path) -> Made:
    model = LogisticRegression()
    sample = onnx(file, model, BINARY)
    return sample, model.predict_proba(NUMBERS.astype(np.float32))[:, 1]


def onnx_classes_with_zipmap(file: Path) -> Made:
    model = LogisticRegression()
    sample = onnx(file, model, COUNTRIES, zipmap=True)
    return sample, model.predict_proba(NUMBERS.astype(np.float32))


def onnx_regression(file: Path) -> Made:
    model = LinearRegression()
    sample = onnx(file, model, NUMBERS[:, 0] * 2)
    return sample, model.predict(NUMBERS.astype(np.float32))


ZOO: list[Callable[[Path], Made]] = [
    *(xgboost_binary, xgboost_classes, xgboost_softmax, xgboost_unnamed_regression, xgboost_ranking),
    *(xgboost_early_stopping, lightgbm_binary, lightgbm_classes, lightgbm_regression, catboost_binary),
    *(catboost_classes, catboost_regression, onnx_binary, onnx_classes_with_zipmap, onnx_regression),
]


LOGGED = """
artifact_path: model
flavors:
  {flavour}:
    code: null
    data: {data}
    model_class: {flavour}.Model
  python_function:
    data: {data}
    env: {{conda: conda.yaml, virtualenv: python_env.yaml}}
    loader_module: mlflow.{flavour}
    python_version: 3.11.7
mlflow_version: 2.20.1
model_uuid: 0d3cf0c6c7be4a3e9d6e0a4d0a6a7c55
signature:
  inputs: '{inputs}'
  outputs: '[{{"type": "double", "required": true}}]'
utc_time_created: '2026-01-31 09:00:00.000000'
"""
"""MLmodel as MLflow's log_model writes it, beside the library's own file."""

TYPES = {"f": "double", "i": "long", "O": "string"}

MLFLOW: list[tuple[str, Callable[[Path], Made]]] = [
    *(("xgboost", xgboost_binary), ("xgboost", xgboost_classes), ("lightgbm", lightgbm_binary)),
    *(("catboost", catboost_regression), ("onnx", onnx_binary)),
]


def written(sample: pd.DataFrame, file: Path) -> Path:
    rows = sample.astype(object).where(sample.notna(), None).to_dict("records")
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, sample.columns)
        writer.writeheader()
        writer.writerows(rows)
    return file


@pytest.mark.parametrize("made", ZOO, ids=lambda made: made.__name__)
def test_a_model_gives_what_its_library_gives(made: Callable[[Path], Made], tmp_path: Path) -> None:
    sample, expected = made(tmp_path / "model")
    (file,) = tmp_path.iterdir()
    found = inspect(file, name="zoo", sample=written(sample, tmp_path / "sample.csv"))
    check(found, sample, expected)


@pytest.mark.parametrize(("flavour", "made"), MLFLOW, ids=[made.__name__ for _, made in MLFLOW])
def test_what_mlflow_logged_is_read_without_mlflow(flavour: str, made: Callable[[Path], Made], tmp_path: Path) -> None:
    folder = tmp_path / "logged"
    folder.mkdir()
    sample, expected = made(folder / "model")
    (file,) = folder.iterdir()
    inputs = [
        {"type": TYPES.get(str(kind.kind), "string"), "name": name, "required": not sample[name].hasnans}
        for name, kind in sample.dtypes.items()
    ]
    (folder / "MLmodel").write_text(
        LOGGED.format(flavour=flavour, data=file.name, inputs=json.dumps(inputs)), encoding="utf-8"
    )
    (folder / "conda.yaml").write_text("name: mlflow-env\n")
    found = inspect(folder, name="zoo", sample=written(sample, tmp_path / "sample.csv"))
    check(found, sample, expected)
    assert [one.nullable for one in found.schema.input] == [not one["required"] for one in inputs]


def check(found: ModelProposal, sample: pd.DataFrame, expected: Any) -> None:
    """Compare the golden rows with what the library gave."""
    assert [one.name for one in found.schema.input] == list(sample.columns)
    given = np.asarray(expected, dtype=float)[: len(found.golden)]
    assert len(given) > 0
    for row, wanted in zip(found.golden, given, strict=True):
        output = row["output"]
        if given.ndim == 1:
            (actual,) = output.values()
            assert actual == pytest.approx(wanted, abs=1e-6)
        else:
            assert output["probabilities"] == pytest.approx(sorted(wanted, reverse=True), abs=1e-6)
            assert output["probability"] == pytest.approx(max(wanted), abs=1e-6)
            assert output["label"] == output["labels"][0]


def test_every_runtime_is_available_to_developers() -> None:
    assert all(map(runtimes.available, runtimes.RUNTIMES))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    xgboost_binary(tmp_path / "model")
    file = tmp_path / "model.ubj"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ModelRefused, match=r"model\.ubj.*save the model again"):
        inspect(file)
