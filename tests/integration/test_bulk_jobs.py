"""A job replays or cancels what a filter chose: each task once, what has changed meanwhile never, a crash or not."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from broker.redis_broker import RedisBroker
from registry import versions
from rescue.metrics import RescueMetrics
from rescue.rounds import Rescue
from rescue.settings import RescueSettings
from store import bulk_jobs
from store.engine import WatchedEngine, connect
from store.keys import Role
from tests.conftest import NewClient, as_app
from tests.running import REPORT, Platform, eventually, handler

PAYLOAD = json.dumps([REPORT]).encode()


@pytest.fixture
def alone(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Platform]:
    """A handler without rescue: nothing advances a job but the test."""
    with handler(as_app(database_url), redis_url, tmp_path) as platform:
        yield platform


@pytest.fixture
def rescue(database_url: str, redis_url: str) -> Iterator[Rescue]:
    watched = WatchedEngine(as_app(database_url), 4)
    with watched.begin() as connection:
        models = versions.read(connection)
    broker, metrics = RedisBroker(redis_url, models.bounds), RescueMetrics(CollectorRegistry())
    yield Rescue(watched, broker, RescueSettings(), metrics, models)
    watched.dispose()


def add(engine: Engine, status: str, n: int, **columns: str) -> list[UUID]:
    """Store tasks, one a second from 2020 on; those that failed keep their inputs."""
    ids = [uuid7() for _ in range(n)]
    values = {"model": "report_scorer", "client": None, **columns}
    ended = "'2020-01-02'" if status in ("FAILURE", "SUCCESS") else "NULL"
    lease = "now() + interval '1 hour'" if status == "STARTED" else "NULL"
    with engine.begin() as connection:
        connection.execute(
            text(f"""INSERT INTO tasks (id, model, client, status, n_inputs, submitted_at, finished_at, lease_until)
                SELECT id, :model, :client, :status, 1, timestamptz '2020-01-01' + n * interval '1 s', {ended}, {lease}
                FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS g (id, n)"""),
            {"ids": ids, "status": status, **values},
        )
        if status == "FAILURE":
            keep = "INSERT INTO task_inputs SELECT id, :payload FROM unnest(CAST(:ids AS uuid[])) AS g (id)"
            connection.execute(text(keep), {"ids": ids, "payload": PAYLOAD})
    return ids


def states(engine: Engine, ids: list[UUID]) -> dict[str, int]:
    query = text("SELECT status FROM tasks WHERE id = ANY(CAST(:ids AS uuid[]))")
    with engine.connect() as connection:
        return dict(Counter(connection.scalars(query, {"ids": ids})))


def make(to: Any, kind: str, status: str, *, limit: int = 100_000, **chosen: str) -> dict[str, Any]:
    answer = to.post("/jobs", json={"kind": kind, "filter": {"status": status, **chosen}, "limit": limit})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['job_id']}"
    return job


def counts(client: Any, job: dict[str, Any]) -> tuple[str, dict[str, int]]:
    found = client.get(f"/jobs/{job['job_id']}").json()
    return found["status"], {name: n for name, n in found["tasks"].items() if n and name != "limit"}


def run(engine: Engine, statement: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def test_what_a_filter_chose_waits_again_and_is_scored(platform: Platform, engine_of: Engine) -> None:
    failed = add(engine_of, "FAILURE", 30, client="replayed")
    others = add(engine_of, "FAILURE", 3, client="not-replayed")
    try:
        job = make(platform.client, "replay", "FAILURE", client="replayed", submitted_before="2020-01-03T00:00:00Z")
        assert (job["kind"], job["rows"], job["tasks"]["matched"]) == ("replay", None, 30)
        eventually(lambda: counts(platform.client, job) == ("DONE", {"matched": 30, "done": 30}))
        assert {platform.finished(str(one))["status"] for one in failed} == {"SUCCESS"}
        assert states(engine_of, others) == {"FAILURE": 3}
        noted = "SELECT 1 FROM jobs WHERE id = :id AND finished_at IS NOT NULL"
        with engine_of.connect() as connection:
            assert eventually(lambda: connection.scalar(text(noted), {"id": job["job_id"]}))
        listed = next(one for one in platform.client.get("/jobs").json()["jobs"] if one["job_id"] == job["job_id"])
        assert (listed["kind"], listed["model"]) == ("replay", None)
    finally:
        run(engine_of, "DELETE FROM report_scores WHERE task_id = ANY(CAST(:ids AS uuid[]))", ids=failed)
        run(engine_of, "DELETE FROM tasks WHERE id = ANY(CAST(:ids AS uuid[]))", ids=[*failed, *others])


@pytest.fixture
def engine_of(platform: Platform) -> Iterator[Engine]:
    engine = connect(platform.database_url)
    yield engine
    engine.dispose()


def test_a_task_that_has_changed_meanwhile_is_left_alone(alone: Platform, rescue: Rescue, engine: Engine) -> None:
    ids = add(engine, "FAILURE", 20)
    job = make(alone.client, "replay", "FAILURE")
    assert counts(alone.client, job) == ("RUNNING", {"matched": 20, "waiting": 20})
    assert alone.client.post(f"/task/{ids[0]}/replay").status_code == 202  # by somebody else
    assert alone.client.post(f"/task/{ids[1]}/replay").status_code == 202
    run(engine, "UPDATE tasks SET status = 'FAILURE', finished_at = now() WHERE id = :id", id=ids[1])  # and fails again
    run(engine, "DELETE FROM task_inputs WHERE task_id = :id", id=ids[2])
    run(engine, "DELETE FROM tasks WHERE id = :id", id=ids[3])
    later = add(engine, "FAILURE", 2)
    rescue.turn()
    assert counts(alone.client, job) == ("DONE", {"matched": 20, "done": 16, "left_alone": 4})
    assert states(engine, ids) == {"PENDING": 17, "FAILURE": 2}
    assert states(engine, later) == {"FAILURE": 2}


def test_a_task_that_a_worker_has_by_now_is_not_cancelled_with_those_that_wait(
    alone: Platform, rescue: Rescue, engine: Engine
) -> None:
    ids = add(engine, "PENDING", 10)
    job = make(alone.client, "cancel", "PENDING", model="report_scorer")
    taken = "UPDATE tasks SET status = 'STARTED', lease_until = now() + interval '1 h' WHERE id = :id"
    run(engine, taken, id=ids[0])
    rescue.turn()
    assert counts(alone.client, job) == ("DONE", {"matched": 10, "done": 9, "left_alone": 1})
    assert states(engine, ids) == {"REVOKED": 9, "STARTED": 1}
    job = make(alone.client, "cancel", "STARTED")
    rescue.turn()
    assert counts(alone.client, job) == ("DONE", {"matched": 1, "done": 1})
    assert alone.client.get(f"/task/{ids[0]}").json()["error"] == "cancelled by its client"


def test_a_step_that_is_killed_changes_nothing_and_the_next_one_goes_on(
    alone: Platform, rescue: Rescue, engine: Engine
) -> None:
    ids = add(engine, "FAILURE", 30)
    job = make(alone.client, "replay", "FAILURE")
    job_id = UUID(job["job_id"])
    with engine.begin() as connection:
        assert len(bulk_jobs.advance(connection, job_id, limit=10)) == 10
    with engine.connect() as connection:  # it is rolled back, as when its program is killed
        bulk_jobs.advance(connection, job_id, limit=15)
    assert counts(alone.client, job) == ("RUNNING", {"matched": 30, "done": 10, "waiting": 20})
    assert states(engine, ids) == {"PENDING": 10, "FAILURE": 20}
    run(engine, "UPDATE tasks SET status = 'FAILURE', finished_at = now() WHERE id = :id", id=min(ids))
    rescue.turn()
    assert counts(alone.client, job) == ("DONE", {"matched": 30, "done": 30})
    assert states(engine, ids) == {"PENDING": 29, "FAILURE": 1}, "what it has replayed once it does not replay again"


def test_rescue_may_be_killed_at_any_moment(alone: Platform, rescue: Rescue, engine: Engine) -> None:
    ids = add(engine, "PENDING", 12_000)
    run(engine, "CREATE TABLE changes (id uuid)")
    run(
        engine,
        """CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            'BEGIN INSERT INTO public.changes VALUES (NEW.id); RETURN NEW; END'""",
    )
    run(
        engine,
        """CREATE TRIGGER noted AFTER UPDATE ON tasks FOR EACH ROW WHEN (NEW.status = 'REVOKED')
            EXECUTE FUNCTION note_change()""",
    )
    job = make(alone.client, "cancel", "PENDING")
    alone.environment["RESCUE_INTERVAL_SECONDS"] = "0.05"
    kills = 0
    for _ in range(4):
        before = counts(alone.client, job)[1].get("done", 0)
        program = alone.start_rescue()
        eventually(lambda before=before: counts(alone.client, job)[1].get("done", 0) > before)  # type: ignore[misc]
        program.stop(signal.SIGKILL)
        kills += counts(alone.client, job)[0] == "RUNNING"
        if not counts(alone.client, job)[1].get("waiting"):
            break
    assert kills, "the job was over before the first kill"
    rescue.turn()
    rescue.turn()
    assert counts(alone.client, job) == ("DONE", {"matched": 12_000, "done": 12_000})
    assert states(engine, ids) == {"REVOKED": 12_000}
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*), count(DISTINCT id) FROM changes")).one() == (12_000, 12_000)


def test_a_task_that_somebody_has_locked_holds_up_no_other(alone: Platform, rescue: Rescue, engine: Engine) -> None:
    ids = add(engine, "FAILURE", 5)
    job = make(alone.client, "replay", "FAILURE")
    with engine.begin() as analyst:
        analyst.execute(text("SELECT FROM tasks WHERE id = :id FOR UPDATE"), {"id": ids[2]})
        rescue.turn()
        assert counts(alone.client, job) == ("RUNNING", {"matched": 5, "done": 4, "waiting": 1})
    rescue.turn()
    assert counts(alone.client, job) == ("DONE", {"matched": 5, "done": 5})


def test_a_stopped_job_changes_no_further_task(alone: Platform, rescue: Rescue, engine: Engine) -> None:
    ids = add(engine, "PENDING", 6)
    job = make(alone.client, "cancel", "PENDING")
    with engine.begin() as connection:
        bulk_jobs.advance(connection, UUID(job["job_id"]), limit=2)
    stopped = alone.client.post(f"/jobs/{job['job_id']}/cancel")
    assert (stopped.status_code, stopped.json()["status"]) == (200, "CANCELLED")
    rescue.turn()
    assert counts(alone.client, job) == ("CANCELLED", {"matched": 6, "done": 2, "waiting": 4})
    assert states(engine, ids) == {"REVOKED": 2, "PENDING": 4}
    assert alone.client.post(f"/jobs/{job['job_id']}/cancel").status_code == 200, "stopped again, it stays stopped"


def test_a_limit_chooses_the_newest(alone: Platform, rescue: Rescue, engine: Engine) -> None:
    ids = add(engine, "FAILURE", 9)
    job = make(alone.client, "replay", "FAILURE", limit=4)
    rescue.turn()
    assert counts(alone.client, job) == ("DONE", {"matched": 4, "done": 4})
    assert (states(engine, ids[:5]), states(engine, ids[5:])) == ({"FAILURE": 5}, {"PENDING": 4})


def test_a_job_of_nothing_ends(alone: Platform, rescue: Rescue) -> None:
    job = make(alone.client, "replay", "FAILURE", model="nobody")
    rescue.turn()
    assert counts(alone.client, job) == ("DONE", {})


def test_a_job_made_again_with_its_key_is_the_same_job(alone: Platform, engine: Engine) -> None:
    add(engine, "FAILURE", 2)
    asked = {"kind": "replay", "filter": {"status": "FAILURE", "submitted_after": "2020-01-01T00:00:00Z"}}
    key = {"Idempotency-Key": "again"}
    first = alone.client.post("/jobs", json=asked, headers=key)
    again = alone.client.post("/jobs", json=asked, headers=key)
    assert first.json()["job_id"] == again.json()["job_id"]
    assert again.headers["idempotency-replayed"] == "true"
    other = alone.client.post("/jobs", json={**asked, "limit": 1}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "urn:millrace:problem:idempotency-key-reused")
    assert alone.client.post("/jobs", json={"model": "report_scorer"}, headers=key).status_code == 422


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"kind": "replay"}, "#/filter"),
        ({"kind": {}, "model": "report_scorer"}, "#/kind"),
        ({"kind": ["replay"], "model": "report_scorer"}, "#/kind"),
        ({"kind": "replay", "filter": {}}, "#/filter/status"),
        ({"kind": "replay", "filter": {"status": "PENDING"}}, "#/filter/status"),
        ({"kind": "cancel", "filter": {"status": "SUCCESS"}}, "#/filter/status"),
        ({"kind": "cancel", "filter": {"status": "PENDING", "modle": "x"}}, "#/filter/modle"),
        ({"kind": "cancel", "filter": {"status": "PENDING"}, "limit": 100_001}, "#/limit"),
        ({"kind": "cancel", "filter": {"status": "PENDING", "submitted_after": "soon"}}, "#/filter/submitted_after"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(alone: Platform, asked: dict[str, Any], pointer: str) -> None:
    answer = alone.client.post("/jobs", json=asked)
    assert (answer.status_code, [one["pointer"] for one in answer.json()["errors"]]) == (422, [pointer]), answer.text
    assert alone.client.get("/jobs").json()["jobs"] == []


def test_it_has_no_parts_and_no_rows(alone: Platform) -> None:
    job = make(alone.client, "replay", "FAILURE")["job_id"]
    for method, path, options in (
        ("GET", "results", {}),
        ("GET", "rejects", {}),
        ("POST", "close", {}),
        ("POST", "parts/0", {"json": [REPORT]}),
    ):
        answer = alone.client.request(method, f"/jobs/{job}/{path}", **options)  # type: ignore[arg-type]
        assert (answer.status_code, "is of kind replay" in answer.text) == (404, True), (path, answer.text)


def test_a_role_changes_what_it_changes_one_by_one(new_client: NewClient, closed_engine: Engine) -> None:
    mine = add(closed_engine, "FAILURE", 3, client="bulk-own")
    others = add(closed_engine, "FAILURE", 3, client="bulk-other")
    asked = {"kind": "replay", "filter": {"status": "FAILURE", "submitted_before": "2020-01-02T00:00:00Z"}}
    for role in (Role.READ, Role.TRIAGE):
        assert new_client(role=role).post("/jobs", json=asked).status_code == 403
    own = new_client("bulk-own")
    theirs = {**asked, "filter": {**asked["filter"], "client": "bulk-other"}}  # type: ignore[dict-item]
    job = own.post("/jobs", json=theirs).json()
    assert job["tasks"]["matched"] == 3
    eventually(lambda: counts(own, job)[0] == "DONE")
    assert states(closed_engine, others) == {"FAILURE": 3}
    assert states(closed_engine, mine).get("FAILURE") is None
    operator = new_client("bulk-operator", Role.OPERATE)
    job = operator.post("/jobs", json=theirs).json()
    assert (job["tasks"]["matched"], job["client"]) == (3, "bulk-operator")
    assert own.get(f"/jobs/{job['job_id']}").status_code == 404
    eventually(lambda: counts(operator, job)[0] == "DONE")
    assert states(closed_engine, others).get("FAILURE") is None
    file = operator.post("/jobs", json={"model": "report_scorer"})
    assert (file.status_code, file.json()["type"]) == (403, "urn:millrace:problem:role-refused")
