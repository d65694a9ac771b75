"""The model page compares the live version with a shadow, for those who may know of all clients' predictions."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from registry import administration
from store import keys
from store.keys import Role
from tests.browsing import Browser, Page
from tests.running import REPORT, Platform, eventually

VERSION = "shadow-of-the-console"
CANDIDATE = """
INSERT INTO model_versions (model, version, runtime, schema, manifest, evaluation, digest, created_by)
SELECT model, :version, runtime, schema, manifest, evaluation, '\\x01', 'test' FROM model_versions
WHERE model = 'report_scorer' AND state = 'live'
"""
REVERSED = """
INSERT INTO version_scores (model, version, task_id, position, score)
SELECT 'report_scorer', :version, task_id, position, 1 - score FROM report_scores
WHERE task_id = CAST(:task_id AS uuid)
"""


@pytest.fixture
def shadow(closed_engine: Engine) -> Iterator[str]:
    """A shadow of the reports' model."""
    with closed_engine.begin() as connection:
        connection.execute(text(CANDIDATE), {"version": VERSION})
        administration.shadow(connection, "report_scorer", VERSION, "test")
    yield VERSION
    with closed_engine.begin() as connection:
        administration.shadow(connection, "report_scorer", VERSION, "test", stop=True)
        for table in ("version_scores", "model_events", "model_versions"):
            connection.execute(text(f"DELETE FROM {table} WHERE version = :version"), {"version": VERSION})


@pytest.fixture
def shadowed(closed: Platform, closed_engine: Engine, shadow: str) -> str:
    """A task of 150 rows, which the shadow has scored the other way round."""
    with closed_engine.begin() as connection:
        key = keys.create(connection, "shadowed", Role.SUBMIT)
    reports = [{**REPORT, "report_text_len": number * 7, "popularity": number % 6} for number in range(1, 151)]
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=30"}
    task_id: str = closed.client.post("/submit", json=reports, headers=headers).json()["task_id"]
    assert closed.client.get(f"/task/{task_id}", headers=headers).json()["status"] == "SUCCESS"
    with closed_engine.begin() as connection:
        connection.execute(text(REVERSED), {"version": shadow, "task_id": task_id})
    return task_id


def seen_by(closed: Platform, engine: Engine, role: Role) -> Page:
    with engine.begin() as connection:
        key = keys.create(connection, f"shadow-{role}", role)
    with Browser(closed.url) as browser:
        return browser.sign_in(key).page("/console/models/report_scorer")


def test_a_model_page_says_what_a_shadow_would_change(closed: Platform, closed_engine: Engine, shadowed: str) -> None:
    words = "rows that both scored 150"
    eventually(lambda: words in seen_by(closed, closed_engine, Role.READ).text, every=0.5)
    for role in (Role.READ, Role.OPERATE, Role.TRIAGE, Role.ADMIN):
        page = seen_by(closed, closed_engine, role)
        assert "rank correlation (Spearman) -1.0000" in page.text
        assert "new among the 100 highest 50" in page.text
        assert f"/console/task/{shadowed}" in page.of("a", "href")


@pytest.mark.usefixtures("shadowed")
def test_who_submits_learns_nothing_of_other_clients_from_a_shadow(closed: Platform, closed_engine: Engine) -> None:
    eventually(lambda: "against shadow" in seen_by(closed, closed_engine, Role.READ).text, every=0.5)
    page = seen_by(closed, closed_engine, Role.SUBMIT)
    assert VERSION in page.text
    assert "against shadow" not in page.text


@pytest.mark.usefixtures("shadow")
def test_a_shadow_that_has_scored_nothing_says_how_it_begins(closed: Platform, closed_engine: Engine) -> None:
    words = "has been scored by this shadow yet"
    eventually(lambda: words in seen_by(closed, closed_engine, Role.ADMIN).text, every=0.5)
