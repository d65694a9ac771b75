"""SQL, and what else a program might take for orders, in all that a client can send: kept as it is, or refused."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from store.engine import connect
from tests.running import REPORT, Platform

ORDERS = [
    "'; DROP TABLE tasks; --",
    "' OR '1'='1",
    "x'); DELETE FROM report_scores; --",
    '"; DROP TABLE report_scores; --',
    "1; SELECT pg_sleep(10)",
    "\\'; SELECT 1; --",
    "$$; DROP TABLE tasks; $$",
    "%s %(id)s :id {0} {id}",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "=cmd|'/c calc'!A0",
    "\x1b[2J\x1b]0;owned\x07",
    "\t\\N\n\\.\n",
]
MODELS = {
    "report_scorer": [REPORT | {"report_id": order} for order in ORDERS],
    "text_classifier": [{"text": order, "document_id": order} for order in ORDERS],
    "translator": [{"text": order, "source": "en", "target": "ja", "id": order} for order in ORDERS],
}
COLUMNS = {
    "report_scorer": ("report_scores", ["report_id"]),
    "text_classifier": ("text_labels", ["text", "document_id"]),
    "translator": ("translations", ["text", "id"]),
}


@pytest.fixture(scope="module")
def owner(platform: Platform) -> Iterator[Engine]:
    owner = connect(platform.database_url)
    yield owner
    owner.dispose()


def tables(owner: Engine) -> dict[str, int]:
    """Count the rows of every table, by name; what is missing or empty would show."""
    with owner.connect() as connection:
        names = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
        return {name: connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one() for name in names}


@pytest.mark.parametrize("model", MODELS)
def test_sql_in_a_field_is_stored_and_returned_letter_by_letter(platform: Platform, owner: Engine, model: str) -> None:
    before = tables(owner)
    submitted = platform.client.post(f"/models/{model}/submit", json=MODELS[model])
    assert submitted.status_code == 202, submitted.text
    task = platform.finished(submitted.json()["task_id"])
    assert task["status"] == "SUCCESS", task
    table, columns = COLUMNS[model]
    with owner.connect() as connection:
        query = text(f"SELECT {', '.join(columns)} FROM {table} WHERE task_id = :id ORDER BY position")
        rows = connection.execute(query, {"id": task["task_id"]}).all()
    assert [tuple(row) for row in rows] == [tuple(one[column] for column in columns) for one in MODELS[model]]
    after = tables(owner)
    assert after.keys() == before.keys()
    assert all(after[name] >= rows for name, rows in before.items() if name not in ("task_inputs", "workers"))


@pytest.mark.parametrize("order", ORDERS)
def test_sql_in_a_parameter_or_a_path_is_refused_or_means_itself(platform: Platform, owner: Engine, order: str) -> None:
    before, client = tables(owner), platform.client
    for name in ("status", "model", "submitted_after", "submitted_before", "before", "limit", order):
        assert client.get("/tasks", params={name: order}).status_code == 422, name
    for name in ("priority", "deadline", "callback_url", order):
        assert client.post("/submit", params={name: order}, json=[REPORT]).status_code == 422, name
    for path in ("/task/{}", "/task/{}/cancel", "/models/{}", "/models/{}/submit", "/v2/models/{}"):
        for ask in (client.get, client.post):
            assert ask(path.format(json.dumps(order))).status_code in (404, 405, 415, 422), path
    odd = client.post("/submit", json=[REPORT | {order: order, "abuse_type": order}])
    assert odd.status_code == 422
    assert odd.headers["content-type"] == "application/problem+json"  # which no browser takes for a page
    after = tables(owner)
    assert after["tasks"] == before["tasks"]


def test_sql_as_an_idempotency_key_is_a_key(platform: Platform) -> None:
    for order in (order for order in ORDERS if order.isascii() and order.isprintable() and order[0] != '"'):
        first, second = (
            platform.client.post("/submit", json=[REPORT], headers={"Idempotency-Key": order}) for _ in range(2)
        )
        assert first.json()["task_id"] == second.json()["task_id"], order
