"""Texts by HTTP: POST /prediction, batches, the typed table, and the score cache."""

import pytest
from sqlalchemy import text

from store.engine import connect
from tests.running import Platform

GOALIE = "The goalie stopped thirty shots, and the playoffs begin on Sunday."
SUBMIT = "/models/text_classifier/submit"


def test_a_text_is_answered_with_its_label(platform: Platform) -> None:
    answer = platform.client.post("/prediction", json={"text": GOALIE})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"label": "hockey"}


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": 7}, {"text": "a\0b"}, {"text": "a", "labels": []}])
def test_what_is_no_text_is_refused_with_where_and_why(platform: Platform, body: dict[str, object]) -> None:
    answer = platform.client.post("/prediction", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["pointer"] in {"#/text", "#/labels"}


def test_the_endpoint_is_documented_as_the_challenge_words_it(platform: Platform) -> None:
    operation = platform.client.get("/openapi.json").json()["paths"]["/prediction"]["post"]
    assert operation["operationId"] == "prediction"
    assert operation["responses"]["200"]["description"] == "Successful prediction"


def test_a_batch_is_stored_in_typed_columns_and_the_same_text_is_not_classified_twice(platform: Platform) -> None:
    batch = [
        {"text": "Is a 56 bit key long enough for a block cipher? أمن 🔐", "document_id": "d-1"},
        {"text": "The astronauts will repair the telescope in orbit.", "document_id": "d-2"},
        {"text": "?!"},
    ]
    tasks = []
    for _ in range(2):
        answer = platform.client.post(SUBMIT, json=batch)
        assert answer.status_code == 202, answer.text
        task_id = answer.json()["task_id"]
        tasks.append(platform.client.get(f"/task/{task_id}", headers={"Prefer": "wait=55"}).json())
    assert tasks[0]["status"] == "SUCCESS", tasks[0]
    assert tasks[0]["label"][:2] == ["cryptography", "space"]
    assert tasks[0]["document_id"] == ["d-1", "d-2", None]
    query = "SELECT text, label, labels, probabilities, cached FROM text_labels WHERE task_id = :task ORDER BY position"
    engine = connect(platform.database_url)
    with engine.connect() as connection:
        first, second = (connection.execute(text(query), {"task": task["task_id"]}).mappings().all() for task in tasks)
    engine.dispose()
    assert [row["text"] for row in first] == [given["text"] for given in batch]
    assert not any(row["cached"] for row in first)
    assert all(row["cached"] for row in second)
    for one, other in zip(first, second, strict=True):
        assert one["probabilities"] == other["probabilities"]
        assert one["labels"][one["probabilities"].index(max(one["probabilities"]))] == one["label"]
