"""What another version says of stored inputs, and whether it may take the live one's place."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from click import Command
from click.testing import CliRunner, Result
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from cli.explain import explain
from cli.models.group import models
from cli.rescoring.command import rescore
from registry import administration, gate
from registry.gate import GateRefused
from serving.artifact import current
from store import old_outcomes
from store.version_scores import VersionScore, store
from tests.artifacts import broken, recalibrated, weakened
from tests.browsing import Browser, Page
from tests.running import ROOT, eventually, handler

INPUTS, DECIDED = 6_000, 5_000
TABLE = "report_scores"

PREDICT = text("""
INSERT INTO report_scores (task_id, position, abuse_type, report_text_len, profile_rating, popularity,
    lifetime_matches_created, report_id, score, model_version, scored_at)
SELECT id, 0, abuse_type, length, rating, popularity, matches, 'r-' || n, score, '1.0.0', now()
FROM unnest(CAST(:ids AS uuid[]), CAST(:abuse_type AS text[]), CAST(:report_text_len AS integer[]),
    CAST(:profile_rating AS float8[]), CAST(:popularity AS integer[]), CAST(:lifetime_matches_created AS integer[]),
    CAST(:score AS float8[])) WITH ORDINALITY AS g (id, abuse_type, length, rating, popularity, matches, score, n)
""")
TASKS = text("""
INSERT INTO tasks (id, model, status, n_inputs) SELECT id, 'report_scorer', 'SUCCESS', 1
FROM unnest(CAST(:ids AS uuid[])) AS g (id)
""")
DECIDE = text("""
INSERT INTO outcomes (model, task_id, position, outcome, decided_at, everyones)
SELECT 'report_scorer', id, 0, outcome, now(), true
FROM unnest(CAST(:ids AS uuid[]), CAST(:outcomes AS text[])) AS g (id, outcome)
""")


def inputs(first: int, count: int) -> dict[str, Any]:
    """Return ids and columns of reports as they come in, with the live version's scores."""
    from models.report_scorer.model import load

    chance = np.random.default_rng(first)
    columns: dict[str, Any] = {
        "abuse_type": chance.choice(["MSG", "PRF"], count).tolist(),
        "report_text_len": chance.integers(0, 1_500, count).tolist(),
        "profile_rating": chance.uniform(0, 5, count).tolist(),
        "popularity": chance.integers(0, 6, count).tolist(),
        "lifetime_matches_created": chance.integers(0, 900, count).tolist(),
    }
    columns["score"] = load(current("report_scorer").path).predict(columns)["score"].tolist()
    return columns | {"ids": [UUID(int=first + number) for number in range(1, count + 1)]}


def add_inputs(connection: Connection, given: dict[str, Any]) -> None:
    connection.execute(TASKS, {"ids": given["ids"]})
    connection.execute(PREDICT, given)


def add_outcomes(connection: Connection, given: dict[str, Any]) -> None:
    """Have the first DECIDED of them decided: abuse as often as the live version says."""
    abuse = np.random.default_rng(1).random(len(given["ids"])) < np.array(given["score"])
    outcomes = ["abuse" if one else "not_abuse" for one in abuse[:DECIDED].tolist()]
    connection.execute(DECIDE, {"ids": given["ids"][:DECIDED], "outcomes": outcomes})


@pytest.fixture
def stored(engine: Engine, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Predictions of the live version, and three other versions: as good, worse, and no model at all."""
    given = inputs(0, INPUTS)
    with engine.begin() as connection:
        add_inputs(connection, given)
        administration.add(connection, recalibrated(tmp_path, "equal", 0.5), "ada")
        administration.add(connection, weakened(tmp_path, "worse", 2), "ada")
        administration.add(connection, broken(tmp_path, "broken"), "ada")
    return given


def millrace(url: str, command: Command, *arguments: str) -> Result:
    # A command keeps the names of its first call's option for help, and the reference prints them.
    return CliRunner().invoke(command, arguments, env={"DATABASE_URL": url}, help_option_names=["-h", "--help"])


def last_event(connection: Connection) -> tuple[str, str, str | None]:
    row = connection.execute(text("SELECT version, event, gate FROM model_events ORDER BY id DESC LIMIT 1")).one()
    return row.version, row.event, row.gate


def counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT version, count(*) AS n FROM version_scores GROUP BY 1"))
        return {row.version: row.n for row in rows}


def test_the_gate_refuses_what_is_worse_and_passes_what_is_equal(
    database_url: str, engine: Engine, stored: dict[str, Any]
) -> None:
    with engine.begin() as connection:
        add_outcomes(connection, stored)
    with engine.begin() as connection, pytest.raises(GateRefused, match="has not compared report_scorer@worse"):
        gate.require(connection, "report_scorer", "worse", "trust me")
    refused = millrace(database_url, models, "promote", "report_scorer@worse", "--yes", "--reason", "trust me")
    assert refused.exit_code == 1, refused.output
    assert "worse than 1.0.0" in refused.output
    assert "slice:abuse_type MSG" in refused.output
    assert counts(engine) == {"worse": DECIDED}, "it scored what has an outcome, and nothing else"
    with engine.begin() as connection, pytest.raises(GateRefused, match="found report_scorer@worse worse"):
        gate.require(connection, "report_scorer", "worse", "trust me")

    judged = millrace(database_url, models, "gate", "report_scorer@equal", "--json")
    assert judged.exit_code == 0, judged.output
    told = json.loads(judged.stdout)
    assert (told["verdict"], told["failed"]) == ("pass", 0)
    assert told["report"]["overall"]["difference"] == pytest.approx(0, abs=1e-6), "another intercept, the same order"
    assert set(told["report"]["slices"]) == {"slice:abuse_type MSG", "slice:abuse_type PRF"}
    promoted = millrace(database_url, models, "promote", "report_scorer@equal", "--yes")
    assert "equal is live" in promoted.output, promoted.output
    with engine.connect() as connection:
        assert last_event(connection) == ("equal", "promoted", "pass")


def test_force_goes_past_the_gate_with_a_reason_and_the_event_says_so(
    database_url: str, engine: Engine, stored: dict[str, Any]
) -> None:
    with engine.begin() as connection:
        add_outcomes(connection, stored)
    assert millrace(database_url, models, "gate", "report_scorer@worse").exit_code == 1
    forced = ("promote", "report_scorer@worse", "--yes", "--force")
    assert "needs a reason" in millrace(database_url, models, *forced).output
    assert "worse is live" in millrace(database_url, models, *forced, "--reason", "it is ten times faster").output
    with engine.connect() as connection:
        assert last_event(connection) == ("worse", "promoted", "forced: fail")


def spoil(connection: Connection, given: dict[str, Any]) -> None:
    """Make the highest scores a slice of their own, which the version "equal" puts in the wrong order."""
    highest = sorted(range(DECIDED), key=lambda n: given["score"][n])[-120:]
    ids, scores = ([given[name][n] for n in highest] for name in ("ids", "score"))
    kinds = ["not_abuse"] * 60 + ["abuse"] * 60
    for change in (
        "UPDATE report_scores AS t SET abuse_type = 'SPAM' FROM {given} WHERE t.task_id = g.id",
        "UPDATE outcomes AS t SET outcome = g.kind FROM {given} WHERE t.task_id = g.id",
    ):
        rows = "unnest(CAST(:ids AS uuid[]), CAST(:kinds AS text[])) AS g (id, kind)"
        connection.execute(text(change.format(given=rows)), {"ids": ids, "kinds": kinds})
    said = [VersionScore(one, 0, score, None, None) for one, score in zip(ids, reversed(scores), strict=True)]
    store(connection, TABLE, ("report_scorer", "equal"), said)


def test_an_exception_excuses_its_slice_only_and_stands_in_the_event(
    database_url: str, engine: Engine, stored: dict[str, Any]
) -> None:
    with engine.begin() as connection:
        add_outcomes(connection, stored)
        spoil(connection, stored)
    equal = ("promote", "report_scorer@equal", "--yes")
    refused = millrace(database_url, models, *equal, "--reason", "SPAM is on its way out")
    assert "worse in slice:abuse_type SPAM" in refused.output, refused.output
    wrong = millrace(database_url, models, *equal, "--reason", "x", "--except", "abuse_type=NONE")
    assert "'abuse_type=NONE' is no slice; there are abuse_type=" in wrong.output, wrong.output
    except_spam = ("--except", "abuse_type=SPAM")
    assert "needs a reason" in millrace(database_url, models, *equal, *except_spam).output
    assert "not both" in millrace(database_url, models, *equal, *except_spam, "--force", "--reason", "x").output
    with engine.begin() as connection:
        for terms in ((), ("abuse_type=MSG",), ("abuse_type=MSG", "abuse_type=SPAM")):
            with pytest.raises(GateRefused, match="has not compared" if terms else "found report_scorer@equal worse"):
                gate.require(connection, "report_scorer", "equal", "x", excepted=terms)
        said = gate.require(connection, "report_scorer", "equal", "x", excepted=["abuse_type=SPAM"])
        assert said == "pass; excepted: abuse_type=SPAM"
    other = millrace(database_url, models, "gate", "report_scorer@worse", *except_spam)
    assert other.exit_code == 1, "it is worse in all, and an exception excuses one slice"
    done = millrace(database_url, models, *equal, *except_spam, "--reason", "SPAM is on its way out")
    assert "excepted: abuse_type=SPAM" in done.output, done.output
    assert "equal is live" in done.output
    with engine.connect() as connection:
        assert last_event(connection) == ("equal", "promoted", "pass; excepted: abuse_type=SPAM")
        kept = connection.execute(text("SELECT report FROM gate_reports ORDER BY id DESC LIMIT 1")).scalar_one()
        assert kept["excepted"] == ["abuse_type=SPAM"]
    assert "excepted: abuse_type=SPAM" in millrace(database_url, models, "events", "report_scorer", "--csv").output


def test_the_console_takes_the_exceptions_that_the_gate_has_judged(
    database_url: str, redis_url: str, engine: Engine, stored: dict[str, Any], tmp_path: Path
) -> None:
    with engine.begin() as connection:
        add_outcomes(connection, stored)
        spoil(connection, stored)
    except_spam = ("--except", "abuse_type=SPAM")
    assert millrace(database_url, models, "gate", "report_scorer@equal", *except_spam).exit_code == 0
    form = {"version": "equal", "reason": "SPAM is on its way out"}
    with handler(database_url, redis_url, tmp_path) as platform, Browser(platform.url) as browser:
        path = "/console/models/report_scorer"
        assert "May be worse in" in browser.page(path).text
        refused = browser.post(f"{path}/promote", {**form, "excepted": "abuse_type=MSG"})
        assert (refused.status_code, "has not compared" in Page(refused.text).text) == (409, True), refused.text
        done = browser.post(f"{path}/promote", {**form, "excepted": " abuse_type=SPAM \r\n\r\n"})
        assert done.status_code == 303, done.text
        assert "pass; excepted: abuse_type=SPAM" in browser.page(path).text
    with engine.connect() as connection:
        assert last_event(connection) == ("equal", "promoted", "pass; excepted: abuse_type=SPAM")


def test_without_outcomes_a_promotion_rests_on_a_reason(
    database_url: str, engine: Engine, stored: dict[str, Any]
) -> None:
    refused = millrace(database_url, models, "promote", "report_scorer@worse", "--yes")
    assert refused.exit_code == 1
    assert "give a reason" in refused.output
    millrace(database_url, models, "promote", "report_scorer@worse", "--yes", "--reason", "a trial")
    with engine.connect() as connection:
        assert last_event(connection) == ("worse", "promoted", "too few to say")


def test_what_cannot_be_loaded_is_refused_by_the_gate(
    database_url: str, engine: Engine, stored: dict[str, Any]
) -> None:
    with engine.begin() as connection:
        add_outcomes(connection, stored)
    refused = millrace(database_url, models, "promote", "report_scorer@broken", "--yes", "--reason", "it is small")
    assert refused.exit_code == 1
    assert "the gate cannot judge: report_scorer@broken" in refused.output


def test_inputs_are_scored_again_once_however_often_the_run_is_ended(
    database_url: str, engine: Engine, stored: dict[str, Any]
) -> None:
    program = [sys.executable, "-c", "from cli.rescoring.command import rescore; rescore()", "report_scorer@worse"]
    environment = {**os.environ, "DATABASE_URL": database_url}
    for _ in range(2):
        before = sum(counts(engine).values())
        run = subprocess.Popen([*program, "--rest", "100"], cwd=ROOT, env=environment)
        eventually(lambda before=before: sum(counts(engine).values()) > before)
        run.send_signal(signal.SIGKILL)
        run.wait()
    done = millrace(database_url, rescore, "report_scorer@worse", "--rest", "0")
    assert done.exit_code == 0, done.output
    assert "Inputs by band of the score" in done.output
    assert counts(engine) == {"worse": INPUTS}
    assert "0 inputs scored" in millrace(database_url, rescore, "report_scorer@worse").output
    with engine.connect() as connection:
        scores = connection.execute(
            text("SELECT score FROM version_scores ORDER BY task_id"),
        ).scalars()
        assert len(set(scores)) > 1

    compared = millrace(database_url, models, "compare", "report_scorer@worse", "--top", "100", "--json")
    told = json.loads(compared.stdout)
    assert told["rows"] == INPUTS
    assert sum(map(sum, told["bands"]["counts"])) == INPUTS
    assert 0 < told["rank_correlation"] < 1
    assert len(told["entered"]) == len(told["left"])
    furthest = told["disagreements"][0]
    assert furthest["live"] == stored["score"][stored["ids"].index(UUID(furthest["task_id"]))]


def test_a_condition_chooses_what_is_scored_again(database_url: str, engine: Engine, stored: dict[str, Any]) -> None:
    done = millrace(
        database_url, rescore, "report_scorer@equal", "--where", "abuse_type = 'MSG' AND score >= 0.1::float8"
    )
    assert done.exit_code == 0, done.output
    wanted = zip(stored["abuse_type"], stored["score"], strict=True)
    assert counts(engine) == {"equal": sum(kind == "MSG" and score >= 0.1 for kind, score in wanted)}
    wrong = millrace(database_url, rescore, "report_scorer@equal", "--where", "no_such = 1")
    assert wrong.exit_code == 1
    assert "no_such" in wrong.output


def test_a_shadow_scores_what_comes_in_and_one_that_breaks_harms_no_other(
    database_url: str, engine: Engine, stored: dict[str, Any], tmp_path: Path
) -> None:
    for version in ("equal", "broken"):
        named = millrace(database_url, models, "shadow", f"report_scorer@{version}")
        assert "is a shadow" in named.output, named.output
    log = tmp_path / "log"
    with log.open("w") as written:
        run = subprocess.Popen(
            [sys.executable, "-m", "cli.shadow", "--rest", "0"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": database_url},
            stderr=written,
        )
    try:
        for wave in (1, 2):
            with engine.begin() as connection:
                add_inputs(connection, inputs(wave * 1_000_000, 500))
            eventually(lambda wave=wave: counts(engine) == {"equal": 500 * wave}, within=90)
        eventually(lambda: "shadow_ended" in log.read_text())
    finally:
        run.send_signal(signal.SIGTERM)
        run.wait(timeout=120)
    assert "report_scorer@broken cannot be loaded here" in log.read_text()
    assert millrace(database_url, models, "shadow", "report_scorer@equal").exit_code == 1, "it is one already"
    stopped = millrace(database_url, models, "shadow", "report_scorer@equal", "--stop")
    assert "a candidate again" in stopped.output


def test_other_scores_go_with_their_predictions(engine: Engine, stored: dict[str, Any]) -> None:
    kept, gone = stored["ids"][:2]
    with engine.begin() as connection:
        said = [VersionScore(one, 0, 0.5, None, None) for one in (kept, gone)]
        assert store(connection, TABLE, ("report_scorer", "equal"), said) == 2
        assert store(connection, TABLE, ("report_scorer", "equal"), said) == 0
        connection.execute(text("DELETE FROM report_scores WHERE task_id = :id"), {"id": gone})
        old_outcomes.erase(connection, [(gone, 0)])
        assert store(connection, TABLE, ("report_scorer", "equal"), said) == 0, (
            "a run that had read it stores it no more"
        )
        assert connection.execute(text("SELECT task_id FROM version_scores")).scalars().all() == [kept]
    with engine.begin() as connection, pytest.raises(IntegrityError):
        store(connection, TABLE, ("report_scorer", "no-such"), said)


def test_what_failed_is_tried_again_and_may_pass(database_url: str, engine: Engine, stored: dict[str, Any]) -> None:
    first = stored["ids"][0]
    with engine.begin() as connection:
        store(connection, TABLE, ("report_scorer", "equal"), [VersionScore(first, 0, None, None, "MemoryError")])
    done = millrace(database_url, rescore, "report_scorer@equal", "--rest", "0")
    assert f"{INPUTS:,} inputs scored, 0 of them failed" in done.output, done.output
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM version_scores WHERE error IS NOT NULL")).scalar_one() == 0


def test_predictions_are_explained_once_and_the_explanations_go_with_them(
    engine: Engine, database_url: str, stored: dict[str, Any]
) -> None:
    top = millrace(database_url, explain, "report_scorer", "--top", "100")
    assert top.exit_code == 0, top.output
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT e.*, score FROM explanations AS e JOIN report_scores USING (task_id)"))
        found = rows.all()
        highest = sorted(stored["score"], reverse=True)[99]
    assert len(found) == sum(score >= highest for score in stored["score"]), "the 100 highest, and those equal to them"
    assert min(row.score for row in found) == highest
    for row in found:
        assert 1 / (1 + np.exp(-row.base - sum(row.contributions))) == pytest.approx(row.score, abs=1e-5)
        assert len(row.contributions) == 5
    rest = millrace(database_url, explain, "report_scorer", "--where", "popularity > 2")
    again = millrace(database_url, explain, "report_scorer", "--where", "popularity > 2")
    assert "0 predictions explained" in again.stdout, rest.output
    with engine.begin() as connection:
        first = found[0].task_id
        old_outcomes.erase(connection, {(first, 0)})
        left = "SELECT count(*) FROM explanations WHERE task_id = :first"
        assert connection.scalar(text(left), {"first": first}) == 0


def test_what_cannot_be_explained_says_why(database_url: str, engine: Engine) -> None:
    for arguments, words in (
        (["text_classifier"], "cannot say what its scores are made of; XGBoost and LightGBM can"),
        (["report_scorer", "--top", "many"], "--top: 'many' is no number of predictions"),
        (["report_scorer", "--where", "no_such_column = 1"], "no_such_column"),
        (["nobody"], "there is no model"),
    ):
        done = millrace(database_url, explain, *arguments)
        assert done.exit_code != 0, arguments
        assert words in done.output, done.output
