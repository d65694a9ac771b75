"""`millrace evaluate --live` against a real database: the figures of stored predictions, outcomes and draws."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import pytest
from click import Command
from click.testing import CliRunner, Result
from pyarrow import parquet
from sklearn import metrics
from sqlalchemy import Connection, Engine, text

from bench.worlds import review
from cli.dataset import dataset
from cli.evaluate.command import evaluate
from evaluation.binary import evaluate_binary
from evaluation.draws import propensity
from evaluation.threshold import threshold_of_top
from evaluation.weighting import weigh
from registry.prediction_tables import make
from serving.outcomes import OutcomeRules
from serving.schema import ModelSchema, SchemaField, spec_of
from store import models
from store.engine import connect
from store.models import ModelEvent
from tests.conftest import Servers, as_app, empty_redis, new_database
from tests.running import handler

ITEMS, REVIEWS = 3_000, 900

PREDICT = text("""
INSERT INTO report_scores (task_id, position, abuse_type, report_text_len, profile_rating, popularity,
    lifetime_matches_created, report_id, score, model_version, scored_at)
SELECT id, 0, abuse_type, n, 4.2, 3, 57, 'r-' || n, score, version,
    timestamptz '2026-01-05 00:00Z' + days * interval '1 day'
FROM unnest(CAST(:ids AS uuid[]), CAST(:kinds AS text[]), CAST(:scores AS float8[]), CAST(:versions AS text[]),
            CAST(:days AS float8[])) WITH ORDINALITY AS g (id, abuse_type, score, version, days, n)
""")
TASKS = text("""
INSERT INTO tasks (id, model, status, n_inputs, client)
SELECT id, 'report_scorer', 'SUCCESS', 1, client
FROM unnest(CAST(:ids AS uuid[]), CAST(:clients AS text[])) AS g (id, client)
""")
DRAW = text("""
INSERT INTO draws (model, task_id, position, reviewer, policy, filter, pool, chance, drawn_at, lease_until,
    ended_at, ending)
SELECT 'report_scorer', id, 0, 'ada', policy, '{}', pool, 0.5, at, at, at, 'decided'
FROM (
    SELECT *, timestamptz '2026-01-05 00:00Z' + days * interval '1 day' AS at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:policies AS text[]), CAST(:pools AS integer[]), CAST(:days AS float8[]))
        WITH ORDINALITY AS g (id, policy, pool, days, n)
) AS given ORDER BY n
""")
DECIDE = text("""
INSERT INTO outcomes (model, task_id, position, outcome, decided_at, received_at, everyones)
SELECT 'report_scorer', id, 0, outcome, at, at, true
FROM (
    SELECT *, timestamptz '2026-01-05 00:00Z' + days * interval '1 day' AS at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:outcomes AS text[]), CAST(:days AS float8[])) AS g (id, outcome, days)
) AS given
""")

FIELDS = (
    SchemaField("id", "id", "bigint", nullable=True),
    SchemaField("age", "age", "bigint"),
    SchemaField("note", "note", "text"),
)


def add_churn(engine: Engine, guesses: list[str], truths: list[str], notes: list[str]) -> None:
    """Add a model whose outputs are labels and whose notes are personal, with predictions and their outcomes."""
    label = (SchemaField("label", "label", "text"),)
    rules = OutcomeRules(kinds=("left", "stayed", "moved"))
    schema = ModelSchema("Churn", FIELDS, label, key="id", personal=("note",), outcomes=rules)
    with engine.begin() as connection:
        models.add_model(connection, "churn", "churn_labels")
        values = {"runtime": "xgboost", "schema": msgspec.to_builtins(schema), "manifest": {}, "digest": b"1"}
        models.add_version(connection, "churn", "1", ModelEvent("added", "me"), **values)
        models.lock(connection)
        make(connection, spec_of("churn", "churn_labels", schema))
        found = enumerate(zip(guesses, truths, notes, strict=True), start=1)
        rows = [{"id": UUID(int=n), "guess": guess, "truth": truth, "note": note} for n, (guess, truth, note) in found]
        predict = """INSERT INTO churn_labels (task_id, position, id, age, note, label, model_version)
            VALUES (:id, 0, 1, 30, :note, :guess, '1')"""
        connection.execute(text(predict), rows)
        state = """INSERT INTO outcomes (model, task_id, position, outcome, decided_at, everyones)
            VALUES ('churn', :id, 0, :truth, now(), true)"""
        connection.execute(text(state), rows)


class World:
    """Predictions of ten weeks, reviewed by rank and at random."""

    def __init__(self) -> None:
        chance = np.random.default_rng(5)
        self.ids = [UUID(int=n + 1) for n in range(ITEMS)]
        self.truth = chance.random(ITEMS) < 0.3
        self.score = 1 / (1 + np.exp(-(chance.normal(size=ITEMS) + 1.2 * self.truth - 1)))
        self.arrived = np.repeat(np.arange(10) * 7.0, ITEMS // 10)
        self.kind = np.where(chance.random(ITEMS) < 0.5, "MSG", "PRF")
        self.version = np.where(np.arange(ITEMS) < ITEMS / 2, "1.0.0", "1.1.0")
        self.client = np.where(np.arange(ITEMS) % 4 == 0, "lovely", "swift")
        self.draws = review(self.score, self.arrived, REVIEWS // 10, 0.3, 7)
        self.decided = np.isin(np.arange(ITEMS), self.draws.item)

    def store(self, connection: Connection) -> None:
        ids = np.array(self.ids, object)
        connection.execute(TASKS, {"ids": self.ids, "clients": self.client.tolist()})
        connection.execute(
            PREDICT,
            {
                "ids": self.ids,
                "kinds": self.kind.tolist(),
                "scores": self.score.tolist(),
                "versions": self.version.tolist(),
                "days": self.arrived.tolist(),
            },
        )
        drawn = {"ids": ids[self.draws.item].tolist(), "days": self.draws.at.tolist()}
        policies = ["random" if one else "ranked" for one in self.draws.random]
        connection.execute(DRAW, {**drawn, "policies": policies, "pools": self.draws.pool.astype(int).tolist()})
        outcomes = ["abuse" if one else "not_abuse" for one in self.truth[self.draws.item]]
        connection.execute(DECIDE, {**drawn, "outcomes": outcomes})


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def url(servers: Servers, template: str, world: World) -> Iterator[str]:
    url = new_database(servers, template)
    engine = connect(url)
    with engine.begin() as connection:
        world.store(connection)
    yield url
    engine.dispose()


def millrace(url: str, command: Command, *arguments: str) -> Result:
    # A command keeps the names of its first call's option for help, and the reference prints them.
    names = ["-h", "--help"]
    return CliRunner().invoke(command, arguments, env={"DATABASE_URL": url}, help_option_names=names)


def run(url: str, *arguments: str) -> Result:
    return millrace(url, evaluate, "--live", "report_scorer", *arguments)


def groups(url: str, *arguments: str) -> dict[str, dict[str, Any]]:
    """Return the groups of the last word of `--by`, or all."""
    done = run(url, "--json", *arguments)
    assert done.exit_code == 0, done.output
    return {one["group"]: one for one in map(json.loads, done.stdout.splitlines())}


def test_naive_figures_are_those_of_scikit_learn(url: str, world: World) -> None:
    found = groups(url)["all"]
    naive = {name: figure["value"] for name, figure in found["naive"].items()}
    truth, score = world.truth[world.decided], world.score[world.decided]
    assert naive["auc"] == pytest.approx(metrics.roc_auc_score(truth, score), abs=1e-9)
    assert naive["average_precision"] == pytest.approx(metrics.average_precision_score(truth, score), abs=1e-9)
    assert naive["brier"] == pytest.approx(metrics.brier_score_loss(truth, score), abs=1e-9)
    assert naive["log_loss"] == pytest.approx(metrics.log_loss(truth, score), abs=1e-9)
    at = score >= threshold_of_top(world.score, ITEMS // 20)
    assert naive["precision@5%"] == pytest.approx(metrics.precision_score(truth, at), abs=1e-9)
    assert naive["recall@5%"] == pytest.approx(metrics.recall_score(truth, at), abs=1e-9)
    assert found["outcomes"] == {"abuse": int(truth.sum()), "not_abuse": int((~truth).sum())}
    assert (found["maturity"]["predictions"], found["maturity"]["outcomes"]) == (ITEMS, REVIEWS)


def test_weights_come_from_the_log_of_draws(url: str, world: World) -> None:
    weights = weigh(propensity(world.arrived, world.score, world.draws), world.decided)
    expected = evaluate_binary(world.truth[weights.rows], world.score[weights.rows], weights)
    found = groups(url)["all"]["weighted"]
    for name in ("auc", "average_precision", "brier"):
        assert found[name]["value"] == pytest.approx(expected.figures[name].value, abs=1e-6), name
        assert found[name]["low"] == pytest.approx(expected.figures[name].low, abs=1e-6), name
    everything = metrics.roc_auc_score(world.truth, world.score)
    assert found["auc"]["low"] < everything < found["auc"]["high"]
    naive = groups(url)["all"]["naive"]["auc"]["value"]
    assert abs(found["auc"]["value"] - everything) < abs(naive - everything)


def test_each_report_may_have_been_looked_up(url: str, world: World) -> None:
    """A filter for each of 3,000 keys, more than PostgreSQL returns columns, and each reaches its own row."""
    engine = connect(url)
    own = """UPDATE draws SET filter = jsonb_build_object('report_id', report_id)
        FROM report_scores AS p WHERE p.task_id = draws.task_id"""
    try:
        with engine.begin() as connection:
            looked_up = connection.execute(text(own)).rowcount
            more = """INSERT INTO draws (model, task_id, position, reviewer, policy, filter, pool, chance, drawn_at,
                lease_until, ended_at, ending)
                SELECT 'report_scorer', task_id, 0, 'bob', 'ranked', jsonb_build_object('report_id', report_id), 1, 1,
                    scored_at, scored_at, scored_at, 'expired'
                FROM report_scores WHERE NOT EXISTS (SELECT FROM draws WHERE draws.task_id = report_scores.task_id)"""
            looked_up += connection.execute(text(more)).rowcount
        assert looked_up == ITEMS
        assert groups(url)["all"]["weighted"]["auc"]["value"] > 0.5
    finally:
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM draws WHERE reviewer = 'bob'"))
            connection.execute(text("UPDATE draws SET filter = '{}'"))
        engine.dispose()


def test_a_draw_with_a_filter_reaches_only_what_fits(url: str, world: World) -> None:
    """With the filter on every draw, the propensities are those of the log with that filter."""
    engine = connect(url)
    filtered = '{"abuse_type": ["MSG"], "report_text_len": {"ge": 1}}'
    with engine.begin() as connection:
        connection.execute(text("UPDATE draws SET filter = CAST(:filter AS jsonb)"), {"filter": filtered})
    try:
        found = groups(url)["all"]["weighted"]["auc"]["value"]
    finally:
        with engine.begin() as connection:
            connection.execute(text("UPDATE draws SET filter = '{}'"))
        engine.dispose()
    only = type(world.draws)(
        world.draws.item, world.draws.at, world.draws.random, world.draws.pool, np.full(REVIEWS, "msg")
    )
    chances = propensity(world.arrived, world.score, only, {"msg": world.kind == "MSG"})
    drawn = np.isin(np.arange(ITEMS), world.draws.item)
    weights = weigh(chances, world.decided & drawn)
    expected = evaluate_binary(world.truth[weights.rows], world.score[weights.rows], weights)
    assert found == pytest.approx(expected.figures["auc"].value, abs=1e-6)


def test_groups_hold_their_own_rows(url: str, world: World) -> None:
    for by, values in (("version", world.version), ("slice:abuse_type", world.kind), ("client", world.client)):
        found = groups(url, "--by", by)
        for name in np.unique(values):
            rows = (values == name) & world.decided
            assert found[name]["maturity"]["predictions"] == (values == name).sum()
            expected = metrics.roc_auc_score(world.truth[rows], world.score[rows])
            assert found[name]["naive"]["auc"]["value"] == pytest.approx(expected, abs=1e-9)
    ranges = groups(url, "--by", "slice:report_text_len")
    assert next(name for name in ranges if name != "all") == "1 to 750"
    assert len(ranges) == 5


def test_what_was_stored_last_is_served(
    url: str, servers: Servers, world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    logs, settings = tmp_path_factory.mktemp("evaluation"), {"DATABASE_URL": as_app(url)}
    path = "/models/report_scorer/evaluation"
    with handler(url, empty_redis(servers, 4), logs, **settings) as site:
        engine = connect(url)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM evaluations"))
        engine.dispose()
        assert site.client.get(path).json()["type"] == "urn:millrace:problem:not-evaluated"
        assert site.client.get("/models/nobodys/evaluation").status_code == 404
        wrong = site.client.get(path, params={"by": "month"}).json()
        assert wrong["errors"][0]["parameter"] == "by"
        assert "'month' is none of all, version" in wrong["detail"]
        printed = groups(url, "--by", "version,slice:abuse_type,slice:popularity")
        groups(url, "--since", "2026-02-09T00:00:00Z")
        groups(url, "--no-store", "--by", "week")
        assert site.client.get(path, params={"by": "week"}).status_code == 404
        page = site.client.get("/console/models/report_scorer").text
        pictures = re.findall("<title>([^<]+)</title>", page[page.index("On live traffic") :])
        assert sorted(pictures) == ["Precision and recall", "ROC curve", "Reliability diagram"]
        served = site.client.get(path, params={"by": "all,version,slice"}).json()
        assert {one["group"]: one["naive"] for one in served["groups"]} == {
            name: one["naive"] for name, one in printed.items()
        }
        assert {one["group"]: one["weighted"] for one in served["groups"]} == {
            name: one["weighted"] for name, one in printed.items()
        }
        assert {one["by"] for one in served["groups"]} == {"all", "version", "slice:abuse_type", "slice:popularity"}
        assert [one["predictions"] for one in served["groups"] if one["by"] == "all"] == [ITEMS]
        assert len({one["computed_at"] for one in served["groups"]}) == 1
        groups(url)
        (again,) = site.client.get(path).json()["groups"]
        assert again["computed_at"] > served["groups"][0]["computed_at"]


def test_labels_are_compared_with_the_outcomes(engine: Engine, database_url: str) -> None:
    """A model without a target has accuracy, macro F1 and a confusion matrix."""
    chance = np.random.default_rng(3)
    truth = chance.choice(["left", "stayed", "moved"], 200)
    guess = np.where(chance.random(200) < 0.7, truth, "stayed")
    add_churn(engine, guess.tolist(), truth.tolist(), ["something"] * 200)
    done = millrace(database_url, evaluate, "--live", "churn", "--json")
    found = json.loads(done.stdout)
    assert found["naive"]["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(truth, guess), abs=1e-9)
    assert found["naive"]["macro_f1"]["value"] == pytest.approx(
        metrics.f1_score(truth, guess, average="macro"), abs=1e-9
    )
    assert found["labels"] == ["left", "moved", "stayed"]
    np.testing.assert_array_equal(found["confusion"], metrics.confusion_matrix(truth, guess))


def test_since_leaves_out_what_is_older(url: str, world: World) -> None:
    later = world.arrived >= 35
    found = groups(url, "--since", "2026-02-09T00:00:00Z")["all"]
    rows = later & world.decided
    assert found["maturity"]["predictions"] == later.sum()
    expected = metrics.roc_auc_score(world.truth[rows], world.score[rows])
    assert found["naive"]["auc"]["value"] == pytest.approx(expected, abs=1e-9)


def test_a_week_that_is_young_is_marked(servers: Servers, template: str) -> None:
    """Of old predictions all are decided after two days; of those of an hour ago none could be."""
    url = new_database(servers, template)
    engine = connect(url)
    with engine.begin() as connection:
        for first, age, decided in ((1, "60 days", True), (1_000, "1 hour", False)):
            ids = [UUID(int=first + n) for n in range(100)]
            scores = [n / 100 for n in range(100)]
            given = {"kinds": ["MSG"] * 100, "scores": scores, "versions": ["1.0.0"] * 100, "days": [0.0] * 100}
            connection.execute(PREDICT, {"ids": ids, **given})
            moved = f"UPDATE report_scores SET scored_at = now() - interval '{age}' WHERE task_id = ANY(:ids)"
            connection.execute(text(moved), {"ids": ids})
            if decided:
                kinds = ["abuse" if n % 3 else "not_abuse" for n in range(100)]
                connection.execute(DECIDE, {"ids": ids, "outcomes": kinds, "days": [0.0] * 100})
        connection.execute(text("UPDATE outcomes SET received_at = now() - interval '58 days'"))
    engine.dispose()
    all_, old, young = groups(url, "--by", "week").values()
    assert all_["maturity"]["mature"] is False
    assert (old["maturity"]["mature"], old["maturity"]["outcomes"]) == (True, 100)
    assert (young["maturity"]["mature"], young["maturity"]["outcomes"]) == (False, 0)
    assert young["maturity"]["expected"]["value"] == pytest.approx(100)
    assert all_["weighted"] is None
    printed = run(url, "--by", "week").output
    assert "100, immature" in printed
    assert "no outcomes" in printed


def test_too_few_outcomes_say_nothing(servers: Servers, template: str, world: World) -> None:
    """Two reports that were abuse and twenty that were not have figures, and no interval."""
    url = new_database(servers, template)
    engine = connect(url)
    with engine.begin() as connection:
        ids = world.ids[:22]
        given = {"kinds": ["MSG"] * 22, "versions": ["1.0.0"] * 22, "days": [0.0] * 22}
        connection.execute(PREDICT, {"ids": ids, "scores": [n / 22 for n in range(22)], **given})
        outcomes = ["not_abuse"] * 20 + ["abuse"] * 2
        connection.execute(DECIDE, {"ids": ids, "outcomes": outcomes, "days": [1.0] * 22})
    engine.dispose()
    assert groups(url)["all"]["naive"]["auc"] == {"value": 1.0, "low": None, "high": None}
    assert "1.000 (too few)" in run(url).output
    assert groups(url, "--without", "not_abuse")["all"]["outcomes"] == {"abuse": 2}


def test_pictures_are_written(url: str, tmp_path: Path) -> None:
    done = run(url, "--plot", str(tmp_path / "pictures"))
    assert done.exit_code == 0, done.output
    written = {path.name: path.read_text() for path in (tmp_path / "pictures").iterdir()}
    assert set(written) == {f"all-all-{kind}.svg" for kind in ("roc", "precision-recall", "reliability")}
    assert all("weighted" in svg for svg in written.values())
    assert "weighted" in done.stdout


def test_what_cannot_be_evaluated_says_why(url: str) -> None:
    for arguments, words in (
        (["--live", "nobodys"], "there is no model 'nobodys'; there are: image_classifier"),
        (["--live", "translator"], "translator declares no outcomes"),
        (["--live", "report_scorer", "--by", "month"], "'month' is none of version, week, client, slice:abuse_type"),
        (["--live", "report_scorer", "--top", "many"], "many"),
        (["--live", "report_scorer", "--without", "maybe"], "there are: abuse, not_abuse, unclear"),
        (["--live", "report_scorer", "--since", "2026-01-01"], "offset"),
        (["--live", "report_scorer", "--since", "2999-01-01T00:00Z"], "no predictions in that time"),
    ):
        done = millrace(url, evaluate, *arguments)
        assert done.exit_code != 0
        assert words in done.output, done.output


def test_a_dataset_has_inputs_truth_weight_and_a_split_by_time(url: str, world: World, tmp_path: Path) -> None:
    out, again = tmp_path / "reports.parquet", tmp_path / "again.parquet"
    done = millrace(url, dataset, "report_scorer", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert f"{REVIEWS} rows" in done.stdout
    rows = parquet.read_table(out).to_pandas()
    place = rows["report_id"].str.removeprefix("r-").astype(int).to_numpy() - 1
    assert sorted(place) == sorted(np.flatnonzero(world.decided))
    np.testing.assert_array_equal(rows["is_target"], world.truth[place])
    np.testing.assert_array_equal(rows["abuse_type"], world.kind[place])
    weights = weigh(propensity(world.arrived, world.score, world.draws), world.decided, clip=REVIEWS**0.5)
    expected = dict(zip(weights.rows.tolist(), weights.weight.tolist(), strict=True))
    np.testing.assert_allclose(rows["weight"], [expected[one] for one in place.tolist()], rtol=1e-6)
    assert rows["scored_at"].is_monotonic_increasing
    assert rows["split"].tolist() == ["train"] * 720 + ["test"] * 180
    millrace(url, dataset, "report_scorer", "--out", str(again))
    assert again.read_bytes() == out.read_bytes()
    without = millrace(url, dataset, "report_scorer", "--out", str(again), "--since", "2999-01-01T00:00Z")
    assert "no outcomes in that time" in without.output


def test_a_dataset_leaves_out_what_retention_has_emptied(engine: Engine, database_url: str, tmp_path: Path) -> None:
    add_churn(engine, ["left"] * 3, ["left", "moved", "stayed"], ["first", "", "third"])
    out = tmp_path / "churn.parquet"
    done = millrace(database_url, dataset, "churn", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "has emptied their content: 1" in done.stderr
    rows = parquet.read_table(out).to_pydict()
    assert sorted(zip(rows["note"], rows["outcome"], strict=True)) == [("first", "left"), ("third", "stayed")]
    assert "is kept" not in rows
