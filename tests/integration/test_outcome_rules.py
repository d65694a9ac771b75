"""Which of contradicting outcomes stands is what the model declares; a number is an outcome, too."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, Engine, text

from registry import outcome_views
from registry.inspection import ModelRefused, inspect
from registry.prediction_tables import make
from serving.outcomes import OutcomeRules
from serving.schema import ModelSchema, SchemaField, spec_of
from store import models
from store.models import ModelEvent
from tests.running import ROOT

FIELDS = (SchemaField("id", "id", "bigint", nullable=True), SchemaField("age", "age", "bigint"))
SCORE = (SchemaField("score", "score", "double", ge=0, le=1),)


def add(connection: Connection, version: str, rules: OutcomeRules | None) -> None:
    """Add a version of a model with a key that is a number, as `models add` does."""
    schema = ModelSchema("Churn", FIELDS, SCORE, key="id", outcomes=rules)
    if not models.states(connection, "churn"):
        models.add_model(connection, "churn", "churn_predictions")
    values = {"runtime": "xgboost", "schema": msgspec.to_builtins(schema), "manifest": {}, "digest": version.encode()}
    models.add_version(connection, "churn", version, ModelEvent("added", "me"), **values)
    models.lock(connection)
    make(connection, spec_of("churn", "churn_predictions", schema))


STATEMENTS = [  # outcome, reviewer, source, hour
    ("left", "ada", "moderation", 1),
    ("stayed", "bo", "appeal", 2),
    ("left", "cy", "moderation", 3),
    ("unclear", "di", "guess", 4),
    ("stayed", "cy", "moderation", 0),
]
PREDICT = """
INSERT INTO churn_predictions (task_id, position, id, age, score, model_version)
VALUES ('01a1fbff-6bc2-77a0-9580-9b6d17fbabd4', 0, 17, 30, 0.5, '1')
"""
STATE = """
INSERT INTO outcomes (model, key, outcome, value, reviewer, source, decided_at, everyones)
VALUES ('churn', :key, :outcome, :value, :reviewer, :source,
    timestamptz '2026-01-31 00:00Z' + :hour * interval '1 hour', true)
"""


def state(connection: Connection, outcome: str | None, reviewer: str, source: str, hour: int, **more: Any) -> None:
    given = {"key": "17", "outcome": outcome, "value": None, "reviewer": reviewer, "source": source, "hour": hour}
    connection.execute(text(STATE), given | more)


def standing(connection: Connection) -> Any:
    return connection.execute(text("SELECT outcome, value, is_target, reviewer, reviews FROM churn_outcomes")).one()


KINDS = {"kinds": ("left", "stayed", "unclear"), "target": "left"}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (OutcomeRules(**KINDS), ("unclear", None, False, "di", 4)),
        (OutcomeRules(**KINDS, rule="majority"), ("left", None, True, "cy", 4)),
        (OutcomeRules(**KINDS, rule="senior", sources=("appeal", "moderation")), ("stayed", None, False, "bo", 4)),
    ],
)
def test_the_rule_decides(engine: Engine, rules: OutcomeRules, expected: tuple[Any, ...]) -> None:
    with engine.begin() as connection:
        add(connection, "1", rules)
        connection.execute(text(PREDICT))
        for statement in STATEMENTS:
            state(connection, *statement)
        state(connection, "left", "eve", "guess", 5, key="seventeen")
        assert tuple(standing(connection)) == expected
        assert connection.scalar(text("SELECT count(*) FROM outcomes_resolved WHERE model = 'churn'")) == 1


def test_numbers_are_outcomes_and_the_version_added_last_decides(engine: Engine) -> None:
    with engine.begin() as connection:
        add(connection, "1", None)
        assert connection.scalar(text("SELECT to_regclass('churn_outcomes')")) is None
        add(connection, "2", OutcomeRules(number=True))
        connection.execute(text(PREDICT))
        state(connection, None, "ada", "bank", 1, value=12.5)
        assert tuple(standing(connection)) == (None, 12.5, False, "ada", 1)


def test_views_that_are_as_they_should_be_are_left_alone(engine: Engine) -> None:
    oid = "SELECT xmin FROM pg_class WHERE relname = 'report_scorer_outcomes'"
    with engine.begin() as connection:
        before = connection.scalar(text(oid))
        outcome_views.renew(connection)
        assert connection.scalar(text(oid)) == before
        outcome_views.drop(connection)
        outcome_views.renew(connection)
        assert connection.scalar(text(oid)) != before


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('kinds = ["a"]\ntarget = "b"', "none of the kinds"),
        ("number = true\nkinds = ['a']", "or number = true"),
        ("", "or number = true"),
        ("kinds = ['a', 'a']", "must differ"),
        ("kinds = ['a']\nrule = 'senior'", "go together"),
        ("kinds = ['a']\nrule = 'loudest'", "Invalid enum value"),
        ("kinds = ['']", "printable"),
    ],
)
def test_a_model_toml_that_declares_nonsense_is_refused(tmp_path: Path, said: str, words: str) -> None:
    model(tmp_path, said)
    with pytest.raises(ModelRefused, match=words):
        inspect(tmp_path, name="churn")


def test_a_model_toml_declares_outcomes_and_the_complete_one_repeats_them(tmp_path: Path) -> None:
    model(tmp_path, "kinds = ['stayed', 'left']\ntarget = 'left'\nrule = 'majority'")
    proposal = inspect(tmp_path, name="churn")
    assert proposal.schema.outcomes == OutcomeRules(("stayed", "left"), "left", rule="majority")
    assert '[outcomes]\nkinds = ["stayed", "left"]\ntarget = "left"\nrule = "majority"\n' in proposal.toml


def model(folder: Path, outcomes: str) -> None:
    (folder / "model.ubj").write_bytes((ROOT / "models/report_scorer/artifact/1.0.0/model.ubj").read_bytes())
    (folder / "model.toml").write_text(f'file = "model.ubj"\n\n[outcomes]\n{outcomes}\n')
