"""What was found about models goes when it is old; the newest of each stays, and so does what an event rests on."""

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, Engine, text

from cli.retain import findings, retain
from registry import versions
from store import model_notices, old_findings

MODEL = "report_scorer"
TABLES = ("evaluations", "drift", "gate_reports", "jobs", "task_events", "event_webhooks")

EVALUATION = """
INSERT INTO evaluations (model, grouping, group_name, computed_at, predictions, outcomes, expected, mature, reviewed,
    kinds, naive)
VALUES (:model, :grouping, :name, now() - CAST(:age AS interval), 1, 1, 1, true, 1, '{}', '{}')
"""
DRIFT = """
INSERT INTO drift (model, version, day, column_name, against, rows, reference_rows, psi, band, jensen_shannon, missing,
    unseen, found, findings)
VALUES (:model, :version, current_date - CAST(:age AS int), :name, 'week', 1, 1, 0, 0, 0, 0, 0, false, '{}')
"""
REPORT = """
INSERT INTO gate_reports (model, version, against, verdict, report, made_at)
VALUES (:model, :version, '0.9', 'pass', '{}', now() - CAST(:age AS interval))
"""
NEWS = """
INSERT INTO event_webhooks (type, url, happened_at, due_at, delivered_at, given_up_at)
SELECT 'model.promoted', 'http://x', now() - interval '90 days',
    CASE WHEN NOT :delivered AND NOT :failed THEN now() END,
    CASE WHEN :delivered THEN ended END, CASE WHEN :failed THEN ended END
FROM (SELECT now() - CAST(:age AS interval) AS ended) AS one
"""

JOB = """
INSERT INTO jobs (id, kind, model, priority, on_invalid, finished_at)
VALUES (gen_random_uuid(), :kind, :model, 2, 'stop', now() - CAST(:age AS interval))
"""

REPLAYED = """
INSERT INTO task_events (event, by, n_tasks, at) VALUES ('replayed', 'ada', 5, now() - CAST(:age AS interval))
"""


@pytest.fixture
def version(engine: Engine) -> str:
    with engine.connect() as connection:
        return versions.read(connection).live[MODEL].version


def rows(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {table: connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0 for table in TABLES}


def add(connection: Connection, statement: str, **given: object) -> None:
    connection.execute(text(statement), {"model": MODEL, **given})


def fill(engine: Engine, version: str) -> None:
    with engine.begin() as connection:
        for age in ("500 days", "450 days", "10 days"):
            add(connection, EVALUATION, grouping="all", name="all", age=age)
        for age in ("500 days", "450 days"):
            add(connection, EVALUATION, grouping="week", name="2025-01-06", age=age)
        for age in (500, 450, 399):
            add(connection, DRIFT, version=version, name="popularity", age=age)
        for age in (500, 450):
            add(connection, DRIFT, version=version, name="score", age=age)
        for age in ("500 days", "450 days", "10 days"):
            add(connection, REPORT, version=version, age=age)
        for age in ("31 days", "29 days"):
            add(connection, NEWS, delivered=True, failed=False, age=age)
            add(connection, NEWS, delivered=False, failed=True, age=age)
        add(connection, NEWS, delivered=False, failed=False, age="31 days")
        for kind, ended in (("replay", "450 days"), ("cancel", "390 days"), ("replay", None), ("file", "450 days")):
            add(connection, JOB, kind=kind, age=ended)
        for age in ("450 days", "390 days"):
            add(connection, REPLAYED, age=age)


def test_old_findings_go_and_the_newest_of_each_stays(
    engine: Engine, database_url: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(engine, version)
    going = {"evaluations": 3, "drift": 3, "gate_reports": 2, "jobs": 1, "task_events": 1, "event_webhooks": 2}
    before = rows(engine)
    monkeypatch.setenv("DATABASE_URL", database_url)
    said = CliRunner().invoke(retain, ["--dry-run", "--json"])
    assert json.loads(said.stdout)["findings"] == going
    assert rows(engine) == before
    words = CliRunner().invoke(retain, ["--dry-run"]).stdout
    assert words.startswith(
        "findings would be deleted: evaluations: 3, drift: 3, gate_reports: 2, jobs: 1, task_events: 1, "
        "event_webhooks: 2\n"
    )
    monkeypatch.setattr(old_findings, "ROWS", 1)
    assert findings(engine, 400, dry_run=False) == going
    assert rows(engine) == {table: before[table] - gone for table, gone in going.items()}
    with engine.connect() as connection:
        left = connection.execute(text("SELECT grouping, current_date - CAST(computed_at AS date) FROM evaluations"))
        assert sorted(map(tuple, left)) == [("all", 10), ("week", 450)]
        days = connection.execute(text("SELECT column_name, current_date - day FROM drift"))
        assert sorted(map(tuple, days)) == [("popularity", 399), ("score", 450)]
    assert set(findings(engine, 400, dry_run=False).values()) == {0}


def test_a_report_on_which_a_promotion_rests_stays_as_long_as_the_event(engine: Engine, version: str) -> None:
    with engine.begin() as connection:
        for age in ("460 days", "452 days", "440 days", "10 days"):
            add(connection, REPORT, version=version, age=age)
        event = """
            INSERT INTO model_events (model, version, event, new_state, at, "by", gate)
            VALUES (:model, :version, 'promoted', 'live', now() - interval '450 days', 'ada', 'pass')
        """
        add(connection, event, version=version)
    assert findings(engine, 400, dry_run=False)["gate_reports"] == 2
    with engine.connect() as connection:
        ages = connection.scalars(text("SELECT current_date - CAST(made_at AS date) FROM gate_reports ORDER BY 1"))
        assert list(ages) == [10, 452]


def test_news_that_is_gone_is_told_no_second_time(engine: Engine, version: str) -> None:
    failed = REPORT.replace("'pass'", "'fail'")
    with engine.begin() as connection:
        model_notices.note(connection, "http://x")  # of the models that are live from the first migration on
        add(connection, failed, version=version, age=f"{old_findings.TOLD_DAYS} days")
        assert model_notices.note(connection, "http://x") == 0
        add(connection, failed, version=version, age="1 day")
        assert model_notices.note(connection, "http://x") == 1
        connection.execute(text("UPDATE event_webhooks SET due_at = NULL, delivered_at = now()"))
    assert findings(engine, 400, dry_run=False)["event_webhooks"] == 0
    with engine.begin() as connection:
        assert model_notices.note(connection, "http://x") == 0
