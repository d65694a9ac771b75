"""Texts by HTTP: POST /prediction, batches, and what is merged into one predict."""

import httpx
from sqlalchemy import text

from store.engine import connect
from tests.running import Platform

HOCKEY = "The goalie made 40 saves and the Penguins won in overtime."
SPACE = "The shuttle reached orbit and released the satellite, says NASA."
SUBMIT = "/models/text_classifier/submit"


def test_a_text_is_answered_with_its_label(platform: Platform) -> None:
    answer = platform.client.post("/prediction", json={"text": HOCKEY})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"label": "hockey"}


def test_the_contract_has_the_name_that_its_clients_know(platform: Platform) -> None:
    operation = platform.client.get("/openapi.json").json()["paths"]["/prediction"]["post"]
    assert operation["operationId"] == "prediction"
    assert operation["responses"]["200"]["description"] == "Successful prediction"


def test_bad_bodies_are_422_with_the_field_and_the_remedy(platform: Platform) -> None:
    def refused(answer: httpx.Response, pointer: str, words: str) -> None:
        assert answer.status_code == 422, answer.text
        (fault,) = answer.json()["errors"]
        assert (fault["pointer"], words in fault["detail"]) == (pointer, True), answer.text

    refused(platform.client.post("/prediction", json={}), "#/text", "required")
    refused(platform.client.post("/prediction", json={"text": 7}), "#/text", "string")
    refused(platform.client.post("/prediction", json={"text": ""}), "#/text", "at least 1 character")
    refused(platform.client.post("/prediction", json={"text": "a\0"}), "#/text", "pattern")
    refused(platform.client.post("/prediction", json={"text": "a" * 100_001}), "#/text", "100000")
    refused(platform.client.post("/prediction", json={"text": "a", "title": "b"}), "#/title", "Extra")
    refused(platform.client.post("/prediction", json=[]), "#", "object")


def test_a_batch_keeps_its_order_and_its_columns(platform: Platform) -> None:
    batch = [{"text": HOCKEY, "document_id": "h"}, {"text": SPACE}] * 100
    answer = platform.client.post(SUBMIT, json=batch)
    task = platform.finished(answer.json()["task_id"])
    assert task["label"] == ["hockey", "space"] * 100
    engine = connect(platform.database_url)
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT text, label, probability, labels, probabilities FROM text_labels WHERE task_id = :id"),
            {"id": task["task_id"]},
        ).all()
    engine.dispose()
    assert len(rows) == 200
    for row in rows:
        assert row.probability == max(row.probabilities) == row.probabilities[row.labels.index(row.label)]
        assert {HOCKEY: "hockey", SPACE: "space"}[row.text] == row.label
