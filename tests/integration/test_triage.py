"""Reviewers get what ranks highest and some at random, never what another one holds, and each draw is noted."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine, text

from store.engine import connect
from tests.conftest import Servers, as_app, empty_redis, new_database
from tests.running import Platform, answers, eventually, handler

REPORTS = 1_000
AT = "2026-01-31T09:00:00Z"


@pytest.fixture(scope="module")
def site(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A handler alone, with half of the draws at random and a third reviewed twice."""
    url = new_database(servers, template)
    settings = {
        "DATABASE_URL": as_app(url),
        "TRIAGE_RANDOM_SHARE": "0.5",
        "TRIAGE_SECOND_SHARE": "0.3",
        "TRIAGE_LEASE_SECONDS": "600",
    }
    with handler(url, empty_redis(servers, 3), tmp_path_factory.mktemp("triage"), **settings) as alone:
        yield alone


@pytest.fixture
def owner(site: Platform) -> Iterator[Engine]:
    engine = connect(site.database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def predictions(site: Platform, owner: Engine) -> list[UUID]:
    """A thousand new reports, each of a task, of which the first score highest; nothing else is there."""
    ids = [UUID(int=(int(time.time() * 1000) + n << 80) | 7 << 76 | 2 << 62 | n) for n in range(REPORTS)]
    with owner.begin() as connection:
        for table in ("draws", "outcomes", "report_scores", "tasks"):
            connection.execute(text(f"DELETE FROM {table}"))
        values = [{"id": one, "n": n, "score": 1 - n / REPORTS} for n, one in enumerate(ids)]
        connection.execute(
            text("INSERT INTO tasks (id, model, status, n_inputs) VALUES (:id, 'report_scorer', 'SUCCESS', 1)"), values
        )
        connection.execute(
            text("""
                INSERT INTO report_scores (task_id, position, abuse_type, report_text_len, profile_rating, popularity,
                    lifetime_matches_created, report_id, score, model_version)
                VALUES (:id, 0, CASE WHEN :n % 2 = 0 THEN 'MSG' ELSE 'PRF' END, 120, 4.2, :n % 6, 57, 'r-' || :n,
                    :score, '1.0.0')
            """),
            values,
        )
    return ids


def lease(site: Platform, n: int = 20, reviewer: str = "ada", **asked: Any) -> dict[str, Any]:
    given = {"model": "report_scorer", "n": n, "reviewer": reviewer, **asked}
    answer = site.client.post("/triage/leases", json=given)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def decide(site: Platform, leases: list[dict[str, Any]], reviewer: str, kind: str = "abuse") -> None:
    said = {"model": "report_scorer", "outcome": kind, "decided_at": AT, "reviewer": reviewer}
    given = [{**said, "task_id": one["task_id"], "position": one["position"]} for one in leases]
    assert site.client.post("/outcomes", json=given).json()["matched"] == len(leases)


def rows(owner: Engine, query: str, **values: Any) -> list[Any]:
    with owner.connect() as connection:
        return list(connection.execute(text(query), values))


def test_two_reviewers_never_hold_the_same_one_of_a_thousand_reports(
    site: Platform, owner: Engine, predictions: list[UUID]
) -> None:
    """Four at once, so that they get in each other's way, until nothing is left; second reviews are told apart."""
    got: dict[str, list[dict[str, Any]]] = {}

    def review(reviewer: str) -> None:
        mine = got[reviewer] = []
        while leases := lease(site, reviewer=reviewer)["leases"]:
            mine += leases
            decide(site, leases, reviewer)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(review, ("ada", "bo", "cy", "di")))
    seconds = {row.id for row in rows(owner, "SELECT id FROM draws WHERE policy = 'second'")}
    first = [one["task_id"] for mine in got.values() for one in mine if one["lease_id"] not in seconds]
    assert sorted(first) == sorted(map(str, predictions))
    assert len(got) == 4
    for mine in got.values():
        assert len({one["task_id"] for one in mine}) == len(mine)
    overlapping = rows(
        owner,
        """
        SELECT a.id FROM draws AS a JOIN draws AS b USING (model, task_id, position)
        WHERE a.id < b.id AND (a.drawn_at, a.ended_at) OVERLAPS (b.drawn_at, b.ended_at)
        """,
    )
    assert overlapping == []
    assert not rows(owner, "SELECT 1 FROM draws WHERE ending IS DISTINCT FROM 'decided'")
    assert REPORTS * 0.2 < len(seconds) < REPORTS * 0.4


def test_the_highest_score_comes_first_and_a_random_draw_hides_its_score(
    site: Platform, owner: Engine, predictions: list[UUID]
) -> None:
    leases = lease(site)["leases"]
    noted = {row.id: row for row in rows(owner, "SELECT * FROM draws")}
    assert [one["lease_id"] for one in leases] == sorted(noted)
    left = list(map(str, predictions))
    for place, one in enumerate(leases):
        row = noted[one["lease_id"]]
        is_first = one["task_id"] == left[0]
        assert row.pool == REPORTS - place
        assert row.chance == pytest.approx(0.5 / row.pool + 0.5 * is_first)
        assert row.policy == ("ranked" if one["score"] is not None else "random")
        assert row.policy == "random" or is_first
        left.remove(one["task_id"])
    assert {row.policy for row in noted.values()} == {"ranked", "random"}
    assert leases[0]["input"]["report_id"].startswith("r-")
    assert set(leases[0]["input"]) == {
        *("abuse_type", "report_text_len", "profile_rating", "popularity", "lifetime_matches_created", "report_id")
    }


def test_a_filter_is_kept_and_noted(site: Platform, owner: Engine, predictions: list[UUID]) -> None:
    asked = {"abuse_type": "MSG", "popularity": {"ge": 1, "lt": 3}, "score": {"ge": 0.5}, "report_id": ["r-2", "r-8"]}
    answer = lease(site, filter=asked)
    assert {one["input"]["report_id"] for one in answer["leases"]} == {"r-2", "r-8"}
    assert answer["pool"] == answer["held"] == 2
    assert [row.filter for row in rows(owner, "SELECT filter FROM draws")] == [asked, asked]
    assert lease(site, filter={"scored_at": {"ge": "2999-01-01T00:00:00Z"}})["leases"] == []


@pytest.mark.parametrize(
    ("wrong", "place", "words"),
    [
        ({"ages": 3}, "ages", "the fields are abuse_type"),
        ({"popularity": "three"}, "popularity", "whole number"),
        ({"popularity": {"over": 3}}, "popularity/over", "ge, gt, le, lt"),
        ({"popularity": {"ge": None}}, "popularity/ge", "whole number"),
        ({"popularity": []}, "popularity", "1 to 100"),
        ({"abuse_type": ["MSG", 1]}, "abuse_type/1", "a string"),
        ({"scored_at": {"ge": "2026-01-31T09:00:00"}}, "scored_at/ge", "offset"),
        ({"popularity": 2**40}, "popularity", "32 bits"),
    ],
)
def test_a_filter_that_cannot_be_is_refused_by_its_place(
    site: Platform, wrong: dict[str, Any], place: str, words: str
) -> None:
    answer = site.client.post("/triage/leases", json={"model": "report_scorer", "filter": wrong})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == f"#/filter/{place}"
    assert words in error["detail"]


def test_models_that_nobody_can_review_say_why(site: Platform) -> None:
    refused = site.client.post("/triage/leases", json={"model": "translator"})
    assert refused.json()["type"] == "urn:millrace:problem:not-reviewable"
    assert site.client.post("/triage/leases", json={"model": "nobodys"}).status_code == 404
    assert site.client.post("/triage/leases", json={"model": "report_scorer", "n": 21}).status_code == 422


def test_only_what_was_displayed_counts_as_shown(site: Platform, owner: Engine, predictions: list[UUID]) -> None:
    first, second, third = (one["lease_id"] for one in lease(site, 3)["leases"])
    assert site.client.post("/triage/shown", json={"leases": [second, first]}).json() == {
        "changed": [first, second],
        "ended": [],
    }
    again = site.client.post("/triage/shown", json={"leases": [first]})
    assert again.json()["changed"] == [first]
    assert {row.id for row in rows(owner, "SELECT id FROM shown")} == {first, second}
    assert site.client.post("/triage/release", json={"leases": [third]}).json()["changed"] == [third]
    assert site.client.post("/triage/shown", json={"leases": [third]}).json() == {"changed": [], "ended": [third]}
    unknown = site.client.post("/triage/shown", json={"leases": [first, 10**9]})
    assert unknown.json()["type"] == "urn:millrace:problem:unknown-lease"


def test_what_was_given_back_goes_to_others_and_not_to_the_same_one(
    site: Platform, owner: Engine, predictions: list[UUID]
) -> None:
    only = {"filter": {"report_id": "r-0"}}
    (one,) = lease(site, **only)["leases"]
    assert lease(site, reviewer="bo", **only)["leases"] == []
    site.client.post("/triage/release", json={"leases": [one["lease_id"]]})
    assert lease(site, **only)["leases"] == []
    (other,) = lease(site, reviewer="bo", **only)["leases"]
    assert other["task_id"] == one["task_id"]


def test_a_lease_whose_time_is_over_goes_to_others_and_a_late_outcome_still_counts(
    site: Platform, owner: Engine, predictions: list[UUID]
) -> None:
    only, other = {"filter": {"report_id": "r-0"}}, {"filter": {"report_id": "r-1"}}
    (lost,), (late,) = lease(site, **only)["leases"], lease(site, **other)["leases"]
    with owner.begin() as connection:
        connection.execute(text("UPDATE draws SET lease_until = now() - interval '1 s', second_pending = false"))
    assert site.client.post("/triage/shown", json={"leases": [lost["lease_id"]]}).json()["changed"] == []
    (taken,) = lease(site, reviewer="bo", **only)["leases"]
    decide(site, [late], "ada")
    decide(site, [lost], "ada")
    endings = {row.id: row.ending for row in rows(owner, "SELECT id, ending FROM draws")}
    assert endings == {lost["lease_id"]: "expired", late["lease_id"]: "decided", taken["lease_id"]: None}
    counts = site.client.get("/triage/draws", params={"model": "report_scorer"}).json()
    assert (counts["drawn"], counts["never_decided"]) == (3, 1)
    assert sum(one["held"] for one in counts["policies"]) == 1


def test_a_withdrawn_outcome_leaves_the_prediction_to_others(
    site: Platform, owner: Engine, predictions: list[UUID]
) -> None:
    only = {"filter": {"report_id": "r-3"}}
    said = {"model": "report_scorer", "key": "r-3", "reviewer": "zoe", "decided_at": AT}
    site.client.post("/outcomes", json=[{**said, "outcome": "unclear"}])
    assert lease(site, **only)["pool"] == 0
    site.client.post("/outcomes", json=[{**said, "withdrawn": True}])
    assert lease(site, **only)["pool"] == 1


def test_agreement_is_of_what_two_reviewers_have_decided(
    site: Platform, owner: Engine, predictions: list[UUID]
) -> None:
    for _ in range(10):
        leases = lease(site)["leases"]
        decide(site, leases, "ada", "abuse")
    waiting = Counter(row.second_pending for row in rows(owner, "SELECT second_pending FROM draws"))[True]
    assert waiting > 20
    agreeing = lease(site, reviewer="bo")["leases"]
    assert {one["score"] for one in agreeing} == {None}
    decide(site, agreeing[:15], "bo", "abuse")
    decide(site, agreeing[15:], "bo", "not_abuse")
    found = site.client.get("/triage/agreement", params={"model": "report_scorer"}).json()
    assert (found["predictions"], found["agreed"]) == (20, 15)
    (pair,) = found["pairs"]
    assert (pair["reviewers"], pair["predictions"], pair["agreed"]) == (["ada", "bo"], 20, 15)
    assert pair["kappa"] == 0  # who always says the same agrees by chance alone
    assert -1 < found["alpha"] < 0
    assert lease(site, reviewer="bo", filter={"report_id": "none"})["leases"] == []


def test_nothing_under_get_writes(site: Platform, owner: Engine, predictions: list[UUID]) -> None:
    lease(site)
    with owner.begin() as connection:
        connection.execute(text("UPDATE draws SET lease_until = now() - interval '1 s'"))
    count = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) AS n FROM pg_stat_all_tables WHERE schemaname = 'public'"
    rows(owner, "SELECT pg_stat_force_next_flush()")
    before = rows(owner, "SELECT xmin, id FROM draws ORDER BY id")
    for path in ("/triage/draws", "/triage/agreement", "/outcomes"):
        assert site.client.get(path, params={"model": "report_scorer"}).status_code == 200
    assert rows(owner, "SELECT xmin, id FROM draws ORDER BY id") == before
    assert rows(owner, count)


def test_a_killed_handler_loses_and_doubles_no_outcome(servers: Servers, template: str, tmp_path: Path) -> None:
    """Killed in the midst of requests, which the client repeats until they are answered."""
    url, batches, size = new_database(servers, template), 12, 2_000
    alone = Platform(url, empty_redis(servers, 4), tmp_path, DATABASE_URL=as_app(url))
    program = alone.start_handler()
    broken: list[httpx.TransportError] = []

    def send(batch: int) -> dict[str, int]:
        given = [
            {"model": "report_scorer", "key": f"k-{batch}-{n}", "outcome": "abuse", "decided_at": AT}
            for n in range(size)
        ]
        while True:
            try:
                answer = httpx.post(f"{alone.url}/outcomes", json=given, timeout=30)
            except httpx.ConnectError:
                time.sleep(0.05)
                continue
            except httpx.TransportError as error:
                broken.append(error)
                continue
            if answer.status_code == 200:
                found: dict[str, int] = answer.json()
                return found
            time.sleep(0.1)

    try:
        with ThreadPoolExecutor(3) as pool:
            sent = [pool.submit(send, batch) for batch in range(batches)]
            for seconds in (0.1, 0.3, 0.5):
                eventually(lambda: answers(alone.client))
                time.sleep(seconds)
                program.process.kill()
                program.process.wait()
                program = alone.start_handler()
        assert broken
        assert all(one.result()["stored"] + one.result()["repeated"] == size for one in sent)
    finally:
        alone.client.close()
        program.stop()
    engine = connect(url)
    with engine.connect() as connection:
        count, distinct = connection.execute(text("SELECT count(*), count(DISTINCT key) FROM outcomes")).one()
    engine.dispose()
    assert count == distinct == batches * size
