"""The gate of a classifier with several labels, on models of XGBoost: it scores, compares and decides by itself."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import xgboost as xgb
from click.testing import CliRunner, Result
from sqlalchemy import Connection, Engine, text

from cli.models.group import models

KINDS = ("billing", "delivery", "praise")
ROWS, FEATURES = 3_000, ("length", "exclamations", "hour")
TOML = f"""
file = "model.ubj"
classes = {json.dumps(KINDS)}
[outcomes]
kinds = {json.dumps(KINDS)}
slices = ["hour"]
"""

PREDICT = text("""
INSERT INTO topics_predictions (task_id, position, length, exclamations, hour, label, probability, labels,
    probabilities, model_version)
SELECT id, 0, length, exclamations, hour, label, 0.5, ARRAY[label], ARRAY[0.5], '1'
FROM unnest(CAST(:ids AS uuid[]), CAST(:length AS float8[]), CAST(:exclamations AS float8[]), CAST(:hour AS float8[]),
    CAST(:labels AS text[])) AS g (id, length, exclamations, hour, label)
""")
DECIDE = text("""
INSERT INTO outcomes (model, task_id, position, outcome, decided_at, everyones)
SELECT 'topics', id, 0, outcome, now(), true
FROM unnest(CAST(:ids AS uuid[]), CAST(:outcomes AS text[])) AS g (id, outcome)
""")


def inputs() -> tuple[np.ndarray, np.ndarray]:
    """Return inputs, and their classes by number: two of the inputs tell them apart, up to some noise."""
    chance = np.random.default_rng(1)
    values = np.column_stack([*chance.normal(size=(2, ROWS)), chance.integers(0, 3, ROWS)])
    angle = np.arctan2(values[:, 0], values[:, 1]) + chance.normal(size=ROWS) / 4
    return values, np.floor((angle + np.pi) / (2 * np.pi) * 3).astype(int) % 3


def add(url: str, folder: Path, booster: xgb.Booster) -> None:
    folder.mkdir()
    booster.save_model(folder / "model.ubj")
    (folder / "model.toml").write_text(TOML)
    added = millrace(url, "add", str(folder), "--name", "topics", "--yes")
    assert added.exit_code == 0, added.output


def millrace(url: str, *arguments: str) -> Result:
    # A command keeps the names of its first call's option for help, and the reference prints them.
    return CliRunner().invoke(models, arguments, env={"DATABASE_URL": url}, help_option_names=["-h", "--help"])


@pytest.fixture
def topics(engine: Engine, database_url: str, tmp_path: Path) -> dict[str, Any]:
    """A live version that has labelled all inputs, one that is as good, and one of a single tree, not deep."""
    values, classes = inputs()
    data = xgb.DMatrix(values, classes, feature_names=list(FEATURES))
    options: dict[str, Any] = {"objective": "multi:softprob", "num_class": len(KINDS), "seed": 1}
    live = xgb.train(options, data, 20)
    for number, (more, rounds) in enumerate([({}, 20), ({"eta": 0.29}, 20), ({"max_depth": 1}, 1)]):
        add(database_url, tmp_path / str(number), xgb.train(options | more, data, rounds))
    promoted = millrace(database_url, "promote", "topics@1", "--yes")
    assert promoted.exit_code == 0, promoted.output
    given = {
        "ids": [UUID(int=number + 1) for number in range(ROWS)],
        "labels": [KINDS[number] for number in live.predict(data).argmax(axis=1).tolist()],
        "outcomes": [KINDS[number] for number in classes.tolist()],
        **{name: values[:, column].tolist() for column, name in enumerate(FEATURES)},
    }
    with engine.begin() as connection:
        connection.execute(PREDICT, given)
    return given


def report(url: str, version: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(millrace(url, "gate", f"topics@{version}", "--json").stdout)
    return told


def promoted(connection: Connection) -> tuple[str, str | None]:
    row = connection.execute(text("SELECT version, gate FROM model_events ORDER BY id DESC LIMIT 1")).one()
    return row.version, row.gate


def test_a_worse_classifier_is_refused_and_one_as_good_goes_live(
    engine: Engine, database_url: str, topics: dict[str, Any]
) -> None:
    with engine.begin() as connection:
        connection.execute(DECIDE, topics)
    worse = report(database_url, "3")
    assert worse["verdict"] == "fail"
    assert [worse["report"]["metric"], worse["further"][0]["metric"]] == ["accuracy", "macro_f1"]
    right = np.mean([guess == truth for guess, truth in zip(topics["labels"], topics["outcomes"], strict=True)])
    assert worse["report"]["overall"]["live"] == pytest.approx(right)
    assert set(worse["report"]["slices"]) == {"slice:hour 0", "slice:hour 1", "slice:hour 2"}
    assert {reason.partition(":")[0] for reason in worse["reasons"]} == {"accuracy", "macro_f1"}
    refused = millrace(database_url, "promote", "topics@3", "--yes", "--reason", "trust me")
    assert refused.exit_code == 1
    assert "worse than 1" in refused.output
    equal = report(database_url, "2")
    assert (equal["verdict"], equal["failed"]) == ("pass", 0), equal
    live = millrace(database_url, "promote", "topics@2", "--yes")
    assert "macro_f1" in live.output, live.output
    with engine.connect() as connection:
        assert promoted(connection) == ("2", "pass")


def test_few_outcomes_cannot_tell_and_the_promotion_rests_on_a_reason(
    engine: Engine, database_url: str, topics: dict[str, Any]
) -> None:
    with engine.begin() as connection:
        connection.execute(DECIDE, {name: topics[name][:15] for name in ("ids", "outcomes")})
    assert report(database_url, "3")["verdict"] == "too few to say"
    unreasoned = millrace(database_url, "promote", "topics@3", "--yes")
    assert unreasoned.exit_code == 1
    assert "give a reason" in unreasoned.output
    assert millrace(database_url, "promote", "topics@3", "--yes", "--reason", "a trial").exit_code == 0
    with engine.connect() as connection:
        assert promoted(connection) == ("3", "too few to say")
