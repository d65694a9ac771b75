"""A model of one's own: from a file to typed rows in SQL by two commands, on a platform that is not restarted."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from sqlalchemy import Engine, text

from tests.forking import run_command
from tests.running import Platform, eventually

FEATURES = ["mean radius", "V1", "country"]


@pytest.fixture
def platform(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Platform]:
    (tmp_path / "logs").mkdir()
    settings = {"MODEL_CACHE": str(tmp_path / "cache"), "WORKER_MODELS": ""}
    with Platform(database_url, redis_url, tmp_path / "logs", **settings) as platform:
        yield platform


def trained(folder: Path, names: list[str] = FEATURES, seed: int = 0) -> list[dict[str, Any]]:
    """Train a model on three features, and leave it in the folder with a sample. Return the sample's rows."""
    random = np.random.default_rng(seed)
    numbers, counts, codes = random.normal(size=400), random.integers(0, 9, 400), random.integers(0, 3, 400)
    numbers[::7] = np.nan
    label = (np.nan_to_num(numbers) + counts / 9 + codes > 1.5).astype(int)
    rows = np.column_stack([numbers, counts, codes])
    data = xgb.DMatrix(rows, label, feature_names=names, feature_types=["float", "int", "c"], enable_categorical=True)
    booster = xgb.train({"objective": "binary:logistic", "seed": seed, "nthread": 1}, data, 10 + seed)
    folder.mkdir(exist_ok=True)
    booster.save_model(folder / "model.ubj")
    scores = booster.predict(data)
    sample = [
        {
            **dict(zip(names, (None if np.isnan(n) else float(n), int(c), "ABC"[int(k)]), strict=True)),
            "id": f"c-{place}",
            "label": int(truth),
            "expected": float(score),
        }
        for place, (n, c, k, truth, score) in enumerate(zip(numbers, counts, codes, label, scores, strict=True))
    ]
    with (folder / "sample.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, sample[0])
        writer.writeheader()
        writer.writerows(sample)
    (folder / "model.toml").write_text('file = "model.ubj"\nsample = "sample.csv"\nkey = "id"\nlabel = "label"\n')
    return sample


def millrace(platform: Platform, *arguments: str, status: int = 0) -> str:
    ended, said = run_command(["cli.models", *arguments], {**os.environ, "DATABASE_URL": platform.database_url})
    assert ended == status, said
    return said


def submit(platform: Platform, rows: list[dict[str, Any]], names: list[str] = FEATURES) -> dict[str, Any]:
    inputs = [{name: row[name] for name in [*names, "id"] if row[name] is not None} for row in rows]
    answer = eventually(lambda: accepted(platform, inputs))
    task: dict[str, Any] = platform.finished(answer["task_id"])
    assert task["status"] == "SUCCESS", task
    return task


def accepted(platform: Platform, inputs: list[dict[str, Any]]) -> dict[str, Any] | None:
    answer = platform.client.post("/models/churn/submit", json=inputs)
    found: dict[str, Any] = answer.json()
    return found if answer.status_code == 202 else None


def test_a_model_is_served_by_two_commands(platform: Platform, engine: Engine, tmp_path: Path) -> None:
    sample = trained(tmp_path / "churn")
    assert "mean_radius" in millrace(platform, "inspect", str(tmp_path / "churn"))
    assert "churn version 1 is a candidate" in millrace(platform, "add", str(tmp_path / "churn"), "--by", "ada")
    early = platform.client.post("/models/churn/submit", json=[{}])
    assert early.status_code in (404, 409), "a candidate takes nothing"
    millrace(platform, "promote", "churn", "--by", "ada", "--reason", "first")
    task = submit(platform, sample)
    assert np.abs(np.array(task["score"]) - [row["expected"] for row in sample]).max() < 1e-6
    assert task["id"][:2] == ["c-0", "c-1"]
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM churn_rows ORDER BY position")).mappings().all()
    assert [row["mean_radius"] for row in rows] == [row["mean radius"] for row in sample]
    assert [(row["v1"], row["country"], row["id"], row["model_version"]) for row in rows[:2]] == [
        (row["V1"], row["country"], row["id"], "1") for row in sample[:2]
    ]
    described = platform.client.get("/openapi.json").json()
    assert "/models/churn/submit" in described["paths"]
    card = platform.client.get("/models/churn").json()
    assert card["version"] == "1"
    assert card["evaluation"]["roc_auc"] > 0.9
    assert "is version 1" in millrace(platform, "add", str(tmp_path / "churn"))


def test_bad_input_is_named_as_callers_write_it(platform: Platform, tmp_path: Path) -> None:
    sample = trained(tmp_path / "churn")
    millrace(platform, "add", str(tmp_path / "churn"))
    millrace(platform, "promote", "churn")
    submit(platform, sample[:1])
    bad = {"mean radius": "wide", "V1": 1, "country": "Z", "mean_radius": 1}
    answer = platform.client.post("/models/churn/submit", json=[bad])
    assert answer.status_code == 422
    found = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
    assert found.keys() == {"#/0/mean%20radius", "#/0/country", "#/0/mean_radius"}
    assert "'A', 'B' or 'C'" in found["#/0/country"]
    assert "the fields are mean radius, V1, country, id" in found["#/0/mean_radius"]


def test_the_inference_protocol_takes_it_too(platform: Platform, tmp_path: Path) -> None:
    sample = trained(tmp_path / "churn")
    millrace(platform, "add", str(tmp_path / "churn"))
    millrace(platform, "promote", "churn")
    submit(platform, sample[:1])
    metadata = platform.client.get("/v2/models/churn").json()
    assert [one["name"] for one in metadata["inputs"]] == [*FEATURES, "id"]
    tensors = [("mean radius", "FP64", 1.5), ("V1", "INT64", 3), ("country", "BYTES", "A")]
    inputs = [{"name": name, "datatype": kind, "shape": [1], "data": [value]} for name, kind, value in tensors]
    answer = platform.client.post("/v2/models/churn/infer", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["name"] == "score"


def test_what_was_accepted_under_one_schema_is_not_scored_by_another(
    platform: Platform, engine: Engine, tmp_path: Path
) -> None:
    sample = trained(tmp_path / "churn")
    millrace(platform, "add", str(tmp_path / "churn"))
    millrace(platform, "promote", "churn")
    submit(platform, sample[:1])
    platform.worker.stop()
    inputs = [{name: row[name] for name in FEATURES if row[name] is not None} for row in sample[1:6]]
    waiting = platform.client.post("/models/churn/submit", json=inputs).json()["task_id"]
    names = ["mean radius", "V2", "country"]
    second = trained(tmp_path / "churn", names, seed=3)
    millrace(platform, "add", str(tmp_path / "churn"))
    millrace(platform, "promote", "churn")
    assert eventually(lambda: platform.client.get("/models/churn").json()["version"] == "2")
    platform.worker = platform.start_worker()
    new = submit(platform, second[:5], names)
    assert new["model_version"] == "2"
    assert np.abs(np.array(new["score"]) - [row["expected"] for row in second[:5]]).max() < 1e-6
    old: dict[str, Any] = platform.finished(waiting)
    assert (old["status"], old["model_version"]) == ("SUCCESS", "1"), old
    assert np.abs(np.array(old["score"]) - [row["expected"] for row in sample[1:6]]).max() < 1e-6
    assert "rolled_back" not in millrace(platform, "events", "churn")
    millrace(platform, "rollback", "churn", "--yes")
    eventually(lambda: submit(platform, sample[:1])["model_version"] == "1")
    assert "rolled_back" in millrace(platform, "events", "churn")
    assert "churn" in millrace(platform, "list")


def test_other_models_do_not_notice(platform: Platform, tmp_path: Path) -> None:
    trained(tmp_path / "churn")
    millrace(platform, "add", str(tmp_path / "churn"))
    millrace(platform, "promote", "churn")
    ids = {worker["id"] for worker in platform.client.get("/workers").json()}
    eventually(lambda: platform.client.get("/health/ready").json()["models"].get("churn"))
    millrace(platform, "retire", "churn")
    eventually(lambda: "churn" not in platform.client.get("/health/ready").json()["models"])
    assert {worker["id"] for worker in platform.client.get("/workers").json()} == ids
    assert platform.client.get("/models/churn").status_code == 409


def test_a_retired_models_table_stays(platform: Platform, engine: Engine, tmp_path: Path) -> None:
    sample = trained(tmp_path / "churn")
    millrace(platform, "add", str(tmp_path / "churn"))
    millrace(platform, "promote", "churn")
    task = submit(platform, sample[:2])
    millrace(platform, "retire", "churn", "--reason", "no longer needed")
    eventually(lambda: "churn" not in platform.client.get("/health/ready").json()["models"])
    assert platform.client.get(f"/task/{task['task_id']}").json()["score"] == task["score"]
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM churn_predictions")) == 2
