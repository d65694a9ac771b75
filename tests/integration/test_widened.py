"""A version takes more than the one before: whichever is live, a task is scored by one that takes its inputs."""

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

pytestmark = pytest.mark.timeout(300)

NARROW, WIDE = ["age", "visits"], ["age", "visits", "income"]
NARROW_TOML = 'file = "model.ubj"\nsample = "sample.csv"\n[input.visits]\nge = 0\nle = 9\n'
WIDE_TOML = NARROW_TOML.replace("9", "99") + "[input.income]\nnullable = true\n"
OLD, NEW = {"age": 1.5, "visits": 3}, {"age": 1.5, "visits": 30, "income": 2.5}
"""Inputs that both take, and that only the wide version does."""


def trained(folder: Path, names: list[str], toml: str) -> xgb.Booster:
    """Leave a model of these features in the folder, with its sample."""
    random = np.random.default_rng(len(names))
    rows = np.column_stack([random.normal(size=300), random.integers(0, 9, 300), random.normal(size=300)])
    rows = rows[:, : len(names)]
    label = rows.sum(axis=1) > 4
    if len(names) == 3:
        rows[::5, 2] = np.nan
    booster = xgb.train(
        {"objective": "binary:logistic", "nthread": 1},
        xgb.DMatrix(rows, label, feature_names=names, feature_types=["float", "int", "float"][: len(names)]),
        12,
    )
    folder.mkdir()
    booster.save_model(folder / "model.ubj")
    (folder / "model.toml").write_text(toml)
    with (folder / "sample.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([["" if np.isnan(value) else value for value in row] for row in rows[:50].tolist()])
    return booster


def given_by(booster: xgb.Booster, names: list[str], row: dict[str, Any]) -> float:
    values = np.array([[row.get(name, np.nan) for name in names]])
    data = xgb.DMatrix(values, feature_names=names, feature_types=["float", "int", "float"][: len(names)])
    return float(booster.predict(data)[0])


class Widened:
    """A platform with two versions of a model, of which the second takes one more column and a wider range."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        narrow = trained(folder / "narrow", NARROW, NARROW_TOML)
        wide = trained(folder / "wide", WIDE, WIDE_TOML)
        self.scores = {
            "1": {"old": given_by(narrow, NARROW, OLD)},
            "2": {"old": given_by(wide, WIDE, OLD), "new": given_by(wide, WIDE, NEW)},
        }
        for name in ("narrow", "wide"):
            self.millrace("add", str(folder / name), "--name", "churn")

    def millrace(self, *arguments: str) -> None:
        database = {"DATABASE_URL": self.platform.database_url}
        ended, said = run_command(["cli.models", *arguments], {**os.environ, **database})
        assert ended == 0, said

    def make_live(self, version: str) -> None:
        command = ["rollback", "churn"] if version == "back" else ["promote", f"churn@{version}"]
        self.millrace(*command, "--yes")
        expected = "1" if version == "back" else version
        eventually(lambda: self.platform.client.get("/models/churn").json().get("version") == expected)

    def submit(self, row: dict[str, Any]) -> str:
        answer = self.platform.client.post("/models/churn/submit", json=[row])
        assert answer.status_code == 202, answer.text
        task_id: str = answer.json()["task_id"]
        return task_id

    def check(self, task_id: str, version: str, inputs: str) -> None:
        """Check that this version has scored the task, and scored it right."""
        task = self.platform.finished(task_id)
        assert (task["status"], task["model_version"]) == ("SUCCESS", version), task
        assert task["score"] == pytest.approx([self.scores[version][inputs]], abs=1e-6)


@pytest.fixture
def widened(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Widened]:
    (tmp_path / "logs").mkdir()
    settings = {"MODEL_CACHE": str(tmp_path / "cache"), "WORKER_MODELS": "", "RESCUE_INTERVAL_SECONDS": "0.5"}
    with Platform(database_url, redis_url, tmp_path / "logs", **settings) as platform:
        yield Widened(platform, tmp_path)


def test_each_order_of_accepting_promoting_and_scoring(widened: Widened, engine: Engine) -> None:
    platform = widened.platform
    widened.make_live("1")
    refused = platform.client.post("/models/churn/submit", json=[NEW])
    assert refused.status_code == 422
    assert {error["pointer"] for error in refused.json()["errors"]} == {"#/0/visits", "#/0/income"}
    widened.check(widened.submit(OLD), "1", "old")

    platform.worker.stop()
    of_narrow = widened.submit(OLD)
    widened.make_live("2")
    of_wide = [widened.submit(NEW), widened.submit(OLD)]
    platform.worker = platform.start_worker()
    widened.check(of_narrow, "2", "old")  # accepted under 1, and 2 takes all that 1 does
    widened.check(of_wide[0], "2", "new")
    widened.check(of_wide[1], "2", "old")

    platform.worker.stop()
    of_wide = [widened.submit(NEW), widened.submit(OLD)]
    widened.make_live("back")
    of_narrow = widened.submit(OLD)
    assert platform.client.post("/models/churn/submit", json=[NEW]).status_code == 422
    platform.worker = platform.start_worker()
    widened.check(of_narrow, "1", "old")
    widened.check(of_wide[0], "2", "new")  # accepted under 2: 1 does not take it, though it is live
    widened.check(of_wide[1], "2", "old")  # what 2 accepted may hold more than 1 takes: the schema decides, not the row

    with engine.connect() as connection:
        stored = connection.execute(text("SELECT visits, income, model_version FROM churn_rows ORDER BY scored_at"))
        rows = [tuple(row) for row in stored]
    assert sorted(rows, key=str) == sorted(
        [(3, None, "1")] * 2 + [(3, None, "2")] * 3 + [(30, 2.5, "2")] * 2, key=str
    ), "each row says what it was given, and who scored it"


def test_a_worker_that_runs_all_the_while_scores_both(widened: Widened) -> None:
    widened.make_live("1")
    widened.check(widened.submit(OLD), "1", "old")
    for _ in range(2):
        widened.make_live("2")
        widened.check(widened.submit(NEW), "2", "new")
        late = [widened.submit(NEW) for _ in range(20)]
        widened.make_live("1")
        for task_id in late:
            widened.check(task_id, "2", "new")
        task = widened.platform.finished(widened.submit(OLD))
        assert task["status"] == "SUCCESS"
        assert task["model_version"] in ("1", "2"), "a worker follows within a second or two"
