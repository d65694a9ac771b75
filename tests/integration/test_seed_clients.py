"""Request forms of clients that were written for other services: they work with nothing changed but the address."""

from collections import Counter
from typing import Any

import pytest

from models.image_classifier.examples import EIGHT
from tests.running import REPORT, Platform


@pytest.mark.parametrize("size", [{}, {"height": 500, "width": 700}, {"height": None, "width": None}])
def test_an_image_may_say_its_size(platform: Platform, size: dict[str, Any]) -> None:
    kind = {"ImageClassification": {"top_n": 3}}
    body = {"data": {"B64Image": {"image": EIGHT, **size}}, "inference_type": kind}
    answer = platform.client.post("/inference", json=body)
    assert answer.status_code == 200, answer.text
    classified, took = answer.json()
    assert len(classified["Classification"]) == 3
    assert took["secs"] + took["nanos"] * 1e-9 > 0


@pytest.mark.parametrize("kind", ["ImageToImage", "TextToText", {"TextToText": {}}])
def test_what_no_model_does_is_refused_with_what_one_does(platform: Platform, kind: Any) -> None:
    body = {"data": {"B64Image": {"image": EIGHT}}, "inference_type": kind}
    answer = platform.client.post("/inference", json=body)
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == "#/inference_type"
    assert "ask for ImageClassification" in fault["detail"]
    answer = platform.client.post("/inference", json={"data": {"Text": "a"}, "inference_type": "TextToText"})
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {"#/data", "#/inference_type"}


def test_the_first_route_for_images_answers_with_the_classification_alone(platform: Platform) -> None:
    answer = platform.client.post("/image_inference", json={"image": EIGHT})
    assert answer.status_code == 200, answer.text
    assert answer.json()["Classification"][0]["label"] == "8"
    refused = platform.client.post("/image_inference", json={"image": "bm8="})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "#/image"


def test_workers_are_counted_by_their_state(platform: Platform) -> None:
    count = Counter(platform.client.get("/workers/_status").json().values())
    assert count["Idle"] + count["Working"] == len(platform.client.get("/workers").json()) > 0
    assert {worker["pid"] for worker in platform.client.get("/workers/_info").json()} == {
        worker["pid"] for worker in platform.client.get("/workers").json()
    }


def test_a_report_may_stand_in_the_query(platform: Platform) -> None:
    answer = platform.client.post("/predict", params={**REPORT, "priority": "high"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["score"] == platform.client.post("/predict", json=REPORT).json()["score"]
    for change, place in [({"popularity": 9}, "#/popularity"), ({"profile_rating": "good"}, "#/profile_rating")]:
        refused = platform.client.post("/predict", params=REPORT | change)
        assert refused.status_code == 422
        assert [fault["pointer"] for fault in refused.json()["errors"]] == [place]
    assert platform.client.post("/predict", params={**REPORT, "colour": "red"}).status_code == 422
    assert platform.client.post("/predict?abuse_type=MSG").status_code == 422


NULLS = {"id": None, "parameters": None, "outputs": None}
TEXT = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["The goalie made 40 saves."], "parameters": None}


def test_null_is_as_good_as_absent_in_the_inference_protocol(platform: Platform) -> None:
    inputs = [
        TEXT | {"parameters": nothing} for nothing in (None, {"binary_data_size": None, "shared_memory_region": None})
    ]
    output = {"name": "label", "parameters": {"binary_data": None, "classification": None}}
    for body in (
        *({**NULLS, "inputs": [one]} for one in inputs),
        {**NULLS, "inputs": [TEXT], "outputs": [{"name": "label", "parameters": None}]},
        {"inputs": [TEXT], "outputs": [output], "parameters": {"binary_data_output": None}},
    ):
        answer = platform.client.post("/v2/models/text_classifier/infer", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"][0]["data"] == ["hockey"]
        assert "id" not in answer.json()
    assert len(platform.client.post("/v2/repository/index", json={"ready": None}).json()) == 4
    assert platform.client.get("/v2/health/live").json() == {"live": True}
    assert platform.client.get("/v2/health/ready").json() == {"ready": True}
    named = {"name": "report_scorer", "ready": True}
    assert platform.client.get("/v2/models/report_scorer/ready").json() == named


def test_the_documents_example_of_each_model_is_answered_at_its_path(platform: Platform) -> None:
    document = platform.client.get("/openapi.json").json()
    infer = document["paths"]["/v2/models/{model}/infer"]["post"]
    examples = infer["requestBody"]["content"]["application/json"]["examples"]
    (model,) = [parameter for parameter in infer["parameters"] if parameter["in"] == "path"]
    assert list(examples) == model["schema"]["enum"]
    for name, example in examples.items():
        answer = platform.client.post(f"/v2/models/{name}/infer", json=example["value"])
        assert answer.status_code == 200, answer.text
