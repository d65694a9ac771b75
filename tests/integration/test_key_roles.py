"""What a key of each role may do, asked over HTTP of a platform that requires keys."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from handler.answer.tasks import HIDDEN
from store import keys
from store.keys import Role
from tests.conftest import NewClient
from tests.running import REPORT, Platform, eventually

SUBMITS = {Role.SUBMIT, Role.ADMIN}
CHANGES = {Role.SUBMIT, Role.OPERATE, Role.ADMIN}
OPERATES = {Role.OPERATE, Role.ADMIN}
OTHERS = [role for role in Role if role is not Role.SUBMIT]
MASKED = {Role.READ, Role.OPERATE}
TEXT = {"text": "Das ist mein Haus.", "source": "de", "target": "en", "id": "letter-7"}

TRANSLATED = (
    """
    INSERT INTO translations (task_id, position, text, source, target, id, translation, cached, model_version)
    VALUES (:id, 0, 'Das ist mein Haus.', 'de', 'en', 'letter-7', 'This is my house.', false, '1.0.0')
    """,
    "UPDATE tasks SET status = 'SUCCESS', finished_at = now() WHERE id = :id",
)
NOBODYS = "019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"


def allowed(verb: str, path: str) -> set[Role]:
    """Return the roles that may use an operation, by rule and not by the handler's own table."""
    if path.endswith("/evaluation"):
        return {*OTHERS}
    if path.startswith("/triage"):
        return {*OTHERS} if verb == "get" else {Role.TRIAGE, Role.ADMIN}
    if path == "/outcomes" and verb == "post":
        return {Role.SUBMIT, Role.TRIAGE, Role.ADMIN}
    if verb == "get" or path == "/v2/repository/index":
        return {*Role}
    if path.endswith(("/promote", "/rollback", "/retire")):
        return OPERATES
    if path == "/jobs":  # some jobs change tasks; for one of a file the role is looked at with the body
        return CHANGES
    return CHANGES if path.endswith(("/cancel", "/replay")) else SUBMITS


@pytest.fixture
def of_role(new_client: NewClient) -> Callable[[Role], httpx.Client]:
    return lambda role: new_client(None, role)


@pytest.fixture
def task_of(new_client: NewClient) -> Callable[[], dict[str, Any]]:
    """Return a finished task of a client of its own."""

    def finished() -> dict[str, Any]:
        client = new_client("owner")
        task_id = client.post("/submit", json=[REPORT]).json()["task_id"]
        task: dict[str, Any] = client.get(f"/task/{task_id}", headers={"Prefer": "wait=30"}).json()
        return task

    return finished


def operations(closed: Platform) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, verbs in closed.client.get("/openapi.json").json()["paths"].items():
        for verb, operation in verbs.items():
            if operation.get("security") != []:
                yield verb, path, operation


@pytest.mark.parametrize("role", Role)
def test_every_operation_is_for_its_roles_and_refuses_the_others(
    closed: Platform, of_role: Callable[[Role], httpx.Client], role: Role
) -> None:
    client, looked_at = of_role(role), 0
    for verb, path, operation in operations(closed):
        place = {"task_id": NOBODYS, "job_id": NOBODYS, "part": 0, "model": "report_scorer", "version": "1.0.0"}
        answer = client.request(verb, path.format(**place))
        roles, looked_at = allowed(verb, path), looked_at + 1
        assert (answer.status_code == 403) == (role not in roles), (verb, path, answer.text)
        assert ("403" in operation["responses"]) == (roles != {*Role}), (verb, path)
        if answer.status_code == 403:
            problem = answer.json()
            detail = problem["error"] if path.startswith("/v2") else problem["detail"]
            assert f"has the role {role}." in detail
            assert all(one in detail for one in roles)
            assert path.startswith("/v2") or problem["type"] == "urn:millrace:problem:role-refused"
        if roles != SUBMITS:
            assert "Needs a key with" in operation["description"]
    assert looked_at > 20


@pytest.mark.parametrize("role", OTHERS)
def test_the_other_roles_read_and_list_every_clients_tasks(
    of_role: Callable[[Role], httpx.Client], task_of: Callable[[], dict[str, Any]], role: Role
) -> None:
    before, task = (task_of() for _ in range(2))
    client = of_role(role)
    read = client.get(f"/task/{task['task_id']}").json()
    assert read["client"] == "owner"
    assert read["score"] == task["score"]
    listed = client.get("/tasks", params={"limit": 1}).json()
    assert listed["tasks"][0]["task_id"] == listed["next"] == task["task_id"]
    assert listed["tasks"][0]["client"] == "owner"
    rest = client.get("/tasks", params={"before": listed["next"]}).json()["tasks"]
    assert rest[0]["task_id"] == before["task_id"]
    assert "client" not in task


@pytest.mark.parametrize("role", OTHERS)
def test_personal_fields_are_masked_for_read_and_operate(
    of_role: Callable[[Role], httpx.Client], new_client: NewClient, closed_engine: Engine, role: Role
) -> None:
    owner = new_client("owner")
    task_id = owner.post("/models/translator/submit", json=[TEXT]).json()["task_id"]
    with closed_engine.begin() as connection:  # no worker of this platform has the model
        for statement in TRANSLATED:
            connection.execute(text(statement), {"id": task_id})
    task = owner.get(f"/task/{task_id}").json()
    assert task["id"] == ["letter-7"]
    assert "masked" not in task
    read = of_role(role).get(f"/task/{task['task_id']}")
    if role not in MASKED:
        assert {**task, "client": "owner"} == read.json()
        return
    assert set(read.json()["masked"]) == {"translation", "id"}
    assert set(task) - set(read.json()) == {"translation", "id"}
    assert "letter-7" not in read.text
    assert task["translation"][0] not in read.text


@pytest.mark.parametrize("role", OTHERS)
def test_an_error_that_quotes_an_input_is_cut_for_those_who_may_not_read_it(
    of_role: Callable[[Role], httpx.Client], task_of: Callable[[], dict[str, Any]], closed_engine: Engine, role: Role
) -> None:
    task_id = task_of()["task_id"]
    faults = '[{"position": 0, "field": "age", "detail": "is the secret"}]'
    fail = "UPDATE tasks SET status = 'FAILURE', error = 'ValueError: the secret', faults = :faults WHERE id = :id"
    with closed_engine.begin() as connection:
        connection.execute(text(fail), {"id": task_id, "faults": faults})
    client = of_role(role)
    listed = client.get("/tasks", params={"limit": 1, "status": "FAILURE"}).json()["tasks"][0]
    for task in (listed, client.get(f"/task/{task_id}").json()):
        assert task["task_id"] == task_id
        assert task["errors"][0]["pointer"] == "#/0/age"
        assert task["error"] == ("ValueError" if role in MASKED else "ValueError: the secret")
        assert task["errors"][0]["detail"] == (HIDDEN if role in MASKED else "is the secret")


def test_operate_and_admin_cancel_and_replay_every_clients_tasks(
    of_role: Callable[[Role], httpx.Client], new_client: NewClient, closed: Platform, closed_engine: Engine
) -> None:
    owner, admin = new_client(), of_role(Role.ADMIN)
    closed.worker.stop()
    try:
        submitted = {client: client.post("/submit", json=[REPORT]).json()["task_id"] for client in (owner, admin)}
        others = [owner.post("/submit", json=[REPORT]).json()["task_id"] for _ in range(3)]
        fail = text("UPDATE tasks SET status = 'FAILURE', error = 'x', finished_at = now() WHERE id = :id")
        for role, task_id in ((Role.OPERATE, others[0]), (Role.ADMIN, others[1])):
            cancelled = of_role(role).post(f"/task/{task_id}/cancel").json()
            assert (cancelled["status"], cancelled["error"]) == ("REVOKED", "cancelled by an operator")
            with closed_engine.begin() as connection:
                connection.execute(fail, {"id": others[2]})
            assert of_role(role).post(f"/task/{others[2]}/replay").status_code == 202
        for client, task_id in submitted.items():
            assert client.post(f"/task/{task_id}/cancel").json()["error"] == "cancelled by its client"
    finally:
        closed.worker = closed.start_worker()
        closed.wait_until_ready()


def test_admin_submits_in_its_own_name_and_waits_for_the_score(of_role: Callable[[Role], httpx.Client]) -> None:
    admin = of_role(Role.ADMIN)
    scored = admin.post("/predict", json=REPORT)
    assert scored.status_code == 200
    assert admin.get(f"/task/{scored.json()['task_id']}").json()["client"].startswith("client-")


def test_a_changed_role_takes_effect_within_the_keyrings_refresh(new_client: NewClient, closed_engine: Engine) -> None:
    client = new_client()
    assert client.post("/submit", json=[REPORT]).status_code == 202
    key_id = keys.id_in(client.headers["Authorization"].removeprefix("Bearer "))
    with closed_engine.begin() as connection:
        connection.execute(text("UPDATE api_keys SET role = 'read' WHERE id = :id"), {"id": key_id})
    eventually(lambda: client.post("/submit", json=[REPORT]).status_code == 403)
    assert client.get("/tasks").status_code == 200
