"""Each replay, cancel and bulk job is an event: who did it, when, to how many tasks, by which filter."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, text

from cli.replay import replay
from rescue.rounds import Rescue
from store import keys
from store.keys import Role
from tests.browsing import Browser
from tests.conftest import NewClient
from tests.integration.test_bulk_jobs import add, alone, counts, make, rescue, run, states  # noqa: F401
from tests.running import Platform, eventually


def events(engine: Engine, **of: Any) -> list[tuple[Any, ...]]:
    """Return (event, client, by, n_tasks) of a task or job, in the order of time."""
    ((column, value),) = of.items()
    query = text(f"SELECT event, client, by, n_tasks FROM task_events WHERE {column} = :value ORDER BY id")
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query, {"value": value})]


def test_a_replay_and_a_cancel_are_events_of_the_task(alone: Platform, engine: Engine) -> None:  # noqa: F811
    (task,) = add(engine, "FAILURE", 1)
    assert alone.client.post(f"/task/{task}/cancel").status_code == 409
    assert alone.client.post(f"/task/{task}/replay").status_code == 202
    assert alone.client.post(f"/task/{task}/replay").status_code == 409
    with Browser(alone.url) as browser:
        assert browser.post(f"/console/task/{task}/cancel").status_code == 303
        page = browser.page(f"/console/task/{task}").text
        assert "Replayed and cancelled" in page
        assert page.index("cancelled by anonymous") < page.index("replayed by anonymous")
        listed = browser.page("/console/changes").text
        assert listed.index("anonymous cancelled") < listed.index("anonymous replayed")
    known = [("replayed", None, "anonymous", 1), ("cancelled", None, "anonymous", 1)]
    assert events(engine, task_id=task) == known, "what was refused is no event"
    run(engine, "DELETE FROM tasks WHERE id = :id", id=task)
    assert events(engine, task_id=task) == []


def test_a_bulk_job_is_one_event_and_one_of_each_task_that_it_changes(
    alone: Platform,  # noqa: F811
    rescue: Rescue,  # noqa: F811
    engine: Engine,
) -> None:
    ids = add(engine, "FAILURE", 3)
    job = make(alone.client, "replay", "FAILURE", model="report_scorer")
    run(engine, "DELETE FROM task_inputs WHERE task_id = :id", id=ids[0])
    rescue.turn()
    assert counts(alone.client, job)[1] == {"matched": 3, "done": 2, "left_alone": 1}
    assert events(engine, job_id=job["job_id"]) == [("begun", None, "anonymous", 3)]
    assert [events(engine, task_id=one) for one in ids] == [[], *[[("replayed", None, "anonymous", 1)]] * 2]
    with Browser(alone.url) as browser:
        page = browser.page("/console/changes")
        assert page.html.count("<tr>") == 2, "its tasks are no rows of the list"
        assert "anonymous began a bulk replay 2 of 3 model=report_scorer status=FAILURE" in page.text
        assert f"/console/job/{job['job_id']}" in page.of("a", "href")
        assert f"/console/job/{job['job_id']}" in browser.page(f"/console/task/{ids[1]}").of("a", "href")
        stopped = make(alone.client, "cancel", "PENDING")
        browser.post(f"/console/job/{stopped['job_id']}/cancel")
        assert "anonymous stopped a bulk cancel 0" in browser.page("/console/changes").text


def test_a_cancelled_file_is_an_event_of_its_tasks(alone: Platform, engine: Engine) -> None:  # noqa: F811
    job = alone.client.post("/jobs", json={"model": "report_scorer"}).json()["job_id"]
    row = {"abuse_type": "MSG", "report_text_len": 1, "profile_rating": 1, "popularity": 1}
    sent = alone.client.post(f"/jobs/{job}/parts/0", json=[{**row, "lifetime_matches_created": 1}])
    assert sent.status_code == 202, sent.text
    assert alone.client.post(f"/jobs/{job}/cancel").status_code == 200
    assert events(engine, job_id=job) == [("cancelled", None, "anonymous", 1)]
    assert events(engine, task_id=sent.json()["task_id"]) == [("cancelled", None, "anonymous", 1)]


def test_the_command_says_who_ran_it(
    engine: Engine,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    alone: Platform,  # noqa: F811
) -> None:
    one, *others = add(engine, "FAILURE", 3)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("LOGNAME", "ada")
    assert CliRunner().invoke(replay, [str(one)]).exit_code == 0
    assert CliRunner().invoke(replay, ["--failed", "--since", "2019-01-01"]).exit_code == 0
    assert states(engine, [one, *others]) == {"PENDING": 3}
    assert [events(engine, task_id=task) for task in (one, *others)] == [[("replayed", None, "ada", 1)]] * 3
    with Browser(alone.url) as browser:
        page = browser.page("/console/changes")
        assert page.html.count("<tr>") == 3
        assert "ada replayed what had failed 2 status=FAILURE failed_since=2019-01-01T00:00:00+00:00" in page.text


@pytest.fixture
def of_others(closed_engine: Engine) -> Iterator[UUID]:
    (task,) = add(closed_engine, "FAILURE", 1, client="events-own")
    yield task
    run(closed_engine, "DELETE FROM tasks WHERE id = :id", id=task)


def test_a_client_sees_its_own_and_not_which_operator_it_was(
    closed: Platform, closed_engine: Engine, new_client: NewClient, of_others: UUID
) -> None:
    own = new_client("events-own")
    assert own.post(f"/task/{of_others}/cancel").status_code == 409
    assert new_client("events-operator", Role.OPERATE).post(f"/task/{of_others}/replay").status_code == 202
    asked = {"kind": "replay", "filter": {"status": "FAILURE", "submitted_before": "2020-01-01T00:00:00Z"}}
    job = own.post("/jobs", json=asked).json()
    eventually(lambda: counts(own, job)[0] == "DONE")
    assert events(closed_engine, task_id=of_others) == [("replayed", "events-operator", "events-operator", 1)]
    pages = {}
    for name, role in (("events-own", Role.SUBMIT), ("events-reads", Role.READ), ("events-admin", Role.ADMIN)):
        with closed_engine.begin() as connection:
            key = keys.create(connection, name, role)
        with Browser(closed.url) as browser:
            browser.sign_in(key)
            pages[role] = (browser.page("/console/changes").text, browser.page(f"/console/task/{of_others}").text)
    listed, task = pages[Role.SUBMIT]
    assert "events-own began a bulk replay 0 of 0" in listed
    assert "events-operator" not in listed + task
    assert "replayed by an operator" in task
    for role in (Role.READ, Role.ADMIN):
        listed, task = pages[role]
        assert "events-operator replayed" in listed
        assert "replayed by events-operator" in task
