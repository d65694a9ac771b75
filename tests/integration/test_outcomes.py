"""Outcomes are facts: kept as they were reported, counted once, and found by their predictions whenever these come."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine, text

from store.engine import connect
from store.keys import Role
from tests.conftest import NewClient
from tests.running import REPORT, Platform, eventually

AT = "2026-01-31T09:00:00Z"


@pytest.fixture(scope="module")
def owner(platform: Platform) -> Iterator[Engine]:
    engine = connect(platform.database_url)
    yield engine
    engine.dispose()


def unique() -> str:
    return f"r-{uuid4().hex[:12]}"


def outcome(key: str, kind: str | None = "abuse", **more: Any) -> dict[str, Any]:
    given = {"model": "report_scorer", "key": key, "outcome": kind, "decided_at": AT, **more}
    return {name: value for name, value in given.items() if value is not None}


def report(client: httpx.Client, *given: dict[str, Any], expected: int = 200) -> dict[str, Any]:
    answer = client.post("/outcomes", json=list(given))
    assert answer.status_code == expected, answer.text
    body: dict[str, Any] = answer.json()
    return body


def scored(platform: Platform, *keys: str) -> str:
    task_id = platform.submit(*({**REPORT, "report_id": key} for key in keys))
    assert platform.finished(task_id)["status"] == "SUCCESS"
    return task_id


def resolved(owner: Engine, task_id: str) -> list[tuple[int, str, bool, str | None, int]]:
    query = text("""
        SELECT position, outcome, is_target, reviewer, reviews FROM outcomes_resolved
        WHERE model = 'report_scorer' AND task_id = :id ORDER BY position
    """)
    with owner.connect() as connection:
        return [tuple(row) for row in connection.execute(query, {"id": task_id})]


def test_an_outcome_finds_its_prediction_by_key_and_by_place(platform: Platform, owner: Engine) -> None:
    first, second = unique(), unique()
    task_id = scored(platform, first, second)
    by_place = outcome("x", "not_abuse", task_id=task_id, position=1)
    del by_place["key"]
    answer = report(platform.client, outcome(first), by_place)
    assert answer == {"stored": 2, "repeated": 0, "matched": 2, "waiting": 0, "several": []}
    assert resolved(owner, task_id) == [(0, "abuse", True, None, 1), (1, "not_abuse", False, None, 1)]


def test_the_same_outcome_again_is_repeated_and_stored_once(platform: Platform, owner: Engine) -> None:
    key = unique()
    one = outcome(key, reviewer="ada", source="desk")
    assert report(platform.client, one, one)["stored"] == 1
    again = report(platform.client, {**one, "decided_at": "2026-01-31T10:00:00+01:00"})
    assert again == {"stored": 0, "repeated": 1, "matched": 0, "waiting": 1, "several": []}
    others = [{**one, **more} for more in ({"reviewer": "bo"}, {"source": "app"}, {"outcome": "unclear"})]
    assert report(platform.client, *others)["stored"] == 3
    with owner.connect() as connection:
        count = connection.scalar(text("SELECT count(*) FROM outcomes WHERE key = :key"), {"key": key})
    assert count == 4


def test_one_that_comes_before_its_prediction_waits_and_is_found_at_once(platform: Platform, owner: Engine) -> None:
    key = unique()
    assert report(platform.client, outcome(key))["waiting"] == 1
    listed = platform.client.get("/outcomes", params={"model": "report_scorer", "key": key}).json()
    assert [one["predictions"] for one in listed["outcomes"]] == [0]
    task_id = scored(platform, key)
    assert resolved(owner, task_id) == [(0, "abuse", True, None, 1)]
    assert report(platform.client, outcome(key)) == {
        "stored": 0,
        "repeated": 1,
        "matched": 1,
        "waiting": 0,
        "several": [],
    }


def test_a_key_that_fits_several_predictions_is_about_all_and_the_answer_says_so(
    platform: Platform, owner: Engine
) -> None:
    key = unique()
    tasks = [scored(platform, key), scored(platform, key, key)]
    answer = report(platform.client, outcome(unique()), outcome(key))
    assert answer["several"] == [{"position": 1, "key": key, "predictions": 3}]
    assert (answer["matched"], answer["waiting"]) == (1, 1)
    assert [len(resolved(owner, task_id)) for task_id in tasks] == [1, 2]


def test_of_contradicting_outcomes_all_are_kept_and_the_latest_stands(platform: Platform, owner: Engine) -> None:
    key = unique()
    task_id = scored(platform, key)
    later = outcome(key, "not_abuse", reviewer="bo", decided_at="2026-01-31T11:00:00Z")
    report(platform.client, later)
    report(platform.client, outcome(key, reviewer="ada"))  # which was decided before, and comes late
    assert resolved(owner, task_id) == [(0, "not_abuse", False, "bo", 2)]
    report(platform.client, outcome(key, None, reviewer="bo", withdrawn=True, decided_at="2026-01-31T12:00:00Z"))
    assert resolved(owner, task_id) == [(0, "abuse", True, "ada", 1)]
    report(platform.client, outcome(key, None, reviewer="ada", withdrawn=True, decided_at="2026-01-31T12:00:00Z"))
    assert resolved(owner, task_id) == []
    listed = platform.client.get("/outcomes", params={"model": "report_scorer", "key": key, "limit": 3}).json()
    assert [one["withdrawn"] for one in listed["outcomes"]] == [True, True, False]
    rest = platform.client.get("/outcomes", params={"key": key, "before": listed["next"]}).json()
    assert [one["outcome"] for one in rest["outcomes"]] == ["not_abuse"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("wrong", "place", "words"),
    [
        ({"decided_at": "2026-01-31T09:00:00"}, "decided_at", "offset"),
        ({"decided_at": "2999-01-31T09:00:00Z"}, "decided_at", "future"),
        ({"decided_at": "0001-01-31T09:00:00Z"}, "decided_at", "Give a year"),
        ({"outcome": "spam"}, "outcome", "'abuse', 'not_abuse', 'unclear'"),
        ({"outcome": None}, "outcome", "missing"),
        ({"outcome": None, "value": 1.5}, "value", "no numbers"),
        ({"withdrawn": True}, "withdrawn", "leave it out"),
        ({"key": None}, "key", "task_id and position"),
        ({"task_id": str(uuid4())}, "position", "together"),
        ({"model": "nobodys"}, "model", "declares outcomes"),
        ({"model": "translator"}, "model", "declares outcomes"),
        ({"model": None}, "model", "?model="),
        ({"kind": "abuse"}, "kind", "Unknown field"),
        ({"key": "r\0"}, "key", "NUL"),
    ],
)
def test_a_faulty_outcome_is_named_and_nothing_is_stored(
    platform: Platform, owner: Engine, wrong: dict[str, Any], place: str, words: str
) -> None:
    key = unique()
    faulty = {name: value for name, value in {**outcome(key), **wrong}.items() if value is not None}
    problem = report(platform.client, outcome(key), faulty, expected=422)
    assert problem["errors"][0]["pointer"] == f"#/1/{place}"
    assert words in problem["errors"][0]["detail"]
    with owner.connect() as connection:
        assert not connection.scalar(text("SELECT count(*) FROM outcomes WHERE key = :key"), {"key": key})


def test_the_query_names_the_model_of_a_csv(platform: Platform, owner: Engine) -> None:
    keys = [unique() for _ in range(9)]
    rows = "".join(f"{key};abuse;2026-01-31 09:00:00+00;\n" for key in keys)
    csv = f"key;outcome;decided_at;reviewer\n{rows}".encode()
    headers = {"Content-Type": "text/csv"}
    answer = platform.client.post("/outcomes?model=report_scorer", content=csv, headers=headers)
    assert answer.json()["stored"] == 9, answer.text
    assert report(platform.client, *map(outcome, keys))["repeated"] == 9


def test_the_programs_may_add_outcomes_and_change_none(closed: Platform) -> None:
    programs = connect(closed.environment["DATABASE_URL"])
    with programs.connect() as connection:
        for privilege, expected in {"SELECT": True, "INSERT": True, "UPDATE": False, "DELETE": False}.items():
            query = text("SELECT has_any_column_privilege('outcomes', :privilege)")
            if privilege == "DELETE":
                query = text("SELECT has_table_privilege('outcomes', :privilege)")
            assert connection.scalar(query, {"privilege": privilege}) is expected
    programs.dispose()


def task_of(client: httpx.Client, key: str) -> str:
    task_id: str = client.post("/submit", json=[{**REPORT, "report_id": key}]).json()["task_id"]
    eventually(lambda: client.get(f"/task/{task_id}").json()["status"] == "SUCCESS")
    return task_id


def test_a_submit_key_reports_on_its_own_predictions_only(new_client: NewClient, closed_engine: Engine) -> None:
    key, name = unique(), f"mine-{time.monotonic_ns()}"
    mine, foreign, triage = new_client(name), new_client(), new_client(None, Role.TRIAGE)
    of_mine, of_foreign = task_of(mine, key), task_of(foreign, key)
    answer = report(mine, outcome(key))
    assert (answer["matched"], answer["several"]) == (1, [])
    by_place = {**outcome("x"), "task_id": of_foreign, "position": 0}
    del by_place["key"]
    assert report(mine, by_place)["waiting"] == 1
    assert resolved(closed_engine, of_mine) == [(0, "abuse", True, None, 1)]
    assert resolved(closed_engine, of_foreign) == []
    assert report(triage, outcome(key, "not_abuse", reviewer="ada"))["several"] == [
        {"position": 0, "key": key, "predictions": 2}
    ]
    assert len(resolved(closed_engine, of_foreign)) == 1
    assert {one["outcome"] for one in mine.get("/outcomes").json()["outcomes"]} == {"abuse"}
    assert foreign.get("/outcomes").json()["outcomes"] == []


def test_masked_roles_see_neither_keys_nor_reviewers(new_client: NewClient) -> None:
    key = unique()
    report(new_client(), outcome(key, reviewer="ada"))
    read = new_client(None, Role.READ)
    (one,) = read.get("/outcomes", params={"limit": 1}).json()["outcomes"]
    assert (one["key"], one["reviewer"], one["masked"]) == (None, None, ["key", "reviewer"])
    assert one["client"].startswith("client-")
    refused = read.get("/outcomes", params={"key": key})
    assert refused.json()["errors"][0]["parameter"] == "key"
    assert read.post("/outcomes", json=[outcome(key)]).status_code == 403


@pytest.mark.parametrize("name", ["model", "key", "outcome", "reviewer", "source"])
def test_a_filter_that_cannot_be_stored_is_refused(platform: Platform, name: str) -> None:
    refused = platform.client.get("/outcomes", params={name: "a\0b"})
    assert refused.json()["errors"] == [
        {"parameter": name, "detail": "Must not contain the character NUL (\\u0000); remove it"}
    ]
