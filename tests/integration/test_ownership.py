"""Clients see and change their own tasks, and of others' they do not even learn that they exist."""

import httpx
from sqlalchemy import Engine, text

from tests.conftest import NewClient
from tests.running import REPORT, Platform

NOBODYS = "019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"


def submit(client: httpx.Client, **headers: str) -> str:
    answer = client.post("/submit", json=[REPORT], headers=headers)
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


def test_anothers_task_is_as_unknown_as_one_that_is_not_there(new_client: NewClient, closed_engine: Engine) -> None:
    mine, theirs = new_client(), new_client()
    failed, ended = submit(theirs), submit(theirs)
    theirs.get(f"/task/{ended}", headers={"Prefer": "wait=30"})
    theirs.get(f"/task/{failed}", headers={"Prefer": "wait=30"})
    with closed_engine.begin() as connection:
        connection.execute(text("UPDATE tasks SET status = 'FAILURE' WHERE id = :id"), {"id": failed})
        kept = "INSERT INTO task_inputs (task_id, payload) VALUES (:id, :payload)"  # so that it could be replayed
        connection.execute(text(kept), {"id": failed, "payload": b"[]"})
    for task_id in (failed, ended):
        for verb, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/replay")):
            foreign = mine.request(verb, f"/task/{task_id}{path}", headers={"Prefer": "wait=5"})
            unknown = mine.request(verb, f"/task/{NOBODYS}{path}", headers={"Prefer": "wait=5"})
            assert foreign.status_code == unknown.status_code == 404
            assert foreign.text.replace(task_id, NOBODYS) == unknown.text
            assert set(foreign.headers) == set(unknown.headers)
    assert theirs.get(f"/task/{ended}").json()["status"] == "SUCCESS"
    assert theirs.get(f"/task/{failed}").json()["status"] == "FAILURE"


def test_a_waiting_task_of_another_cannot_be_cancelled(new_client: NewClient, closed: Platform) -> None:
    mine, theirs = new_client(), new_client()
    closed.worker.stop()
    try:
        task_id = submit(theirs)
        assert mine.post(f"/task/{task_id}/cancel").status_code == 404
        assert theirs.get(f"/task/{task_id}").json()["status"] == "PENDING"
        assert theirs.post(f"/task/{task_id}/cancel").json()["status"] == "REVOKED"
    finally:
        closed.worker = closed.start_worker()
        closed.wait_until_ready()


def test_clients_list_their_own_tasks_whichever_of_their_keys_they_use(new_client: NewClient) -> None:
    mine, theirs = new_client(), new_client("several-keys")
    theirs_too = new_client("several-keys")
    ours = [submit(mine) for _ in range(3)]
    others = [submit(theirs), submit(theirs_too)]

    def listed(client: httpx.Client) -> list[str]:
        first = client.get("/tasks", params={"limit": 2}).json()
        rest = client.get("/tasks", params={"before": first["next"]}).json()["tasks"] if first["next"] else []
        return [task["task_id"] for task in [*first["tasks"], *rest]]

    assert listed(mine) == ours[::-1]
    assert listed(theirs) == listed(theirs_too) == others[::-1]


def test_two_clients_may_choose_the_same_idempotency_key(new_client: NewClient) -> None:
    mine, theirs = new_client(), new_client()
    same = {"Idempotency-Key": "order-1"}
    assert submit(mine, **same) == submit(mine, **same) != submit(theirs, **same)
    assert theirs.post("/submit", json=[REPORT, REPORT], headers=same).status_code == 422
