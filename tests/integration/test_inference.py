"""Images by HTTP: POST /inference in both its forms, batches, the typed table, and the score cache."""

from base64 import b64decode, b64encode
from io import BytesIO

import httpx
import pytest
from PIL import Image
from sqlalchemy import Engine, text

from models.image_classifier.examples import EIGHT
from store.engine import connect
from tests.images import chunk, png
from tests.running import Platform

SUBMIT = "/models/image_classifier/submit"


@pytest.fixture
def platform_engine(platform: Platform) -> Engine:
    return connect(platform.database_url)


def wanted(image: str, **inference_type: object) -> dict[str, object]:
    return {"data": {"B64Image": {"image": image}}, **({"inference_type": inference_type} if inference_type else {})}


def image_of(shade: int) -> str:
    file = BytesIO()
    Image.new("L", (8, 8), shade).save(file, "PNG")
    return b64encode(file.getvalue()).decode()


def test_an_image_in_json_is_answered_with_its_labels_and_the_time_it_took(platform: Platform) -> None:
    answer = platform.client.post("/inference", json=wanted(EIGHT, ImageClassification={"top_n": 5}))
    assert answer.status_code == 200, answer.text
    classified, took = answer.json()
    assert classified["Classification"][0]["label"] == "8"
    assert len(classified["Classification"]) == 5
    assert took["secs"] >= 0
    assert 0 < took["nanos"] < 1e9


def test_a_file_in_a_form_is_answered_alike(platform: Platform) -> None:
    in_json = platform.client.post("/inference", json=wanted(EIGHT, ImageClassification={"top_n": 2})).json()
    answer = platform.client.post("/inference", files={"file": ("8.png", b64decode(EIGHT))}, data={"top_n": "2"})
    assert answer.status_code == 200, answer.text
    assert answer.json()[0] == in_json[0]


def by_form(platform: Platform, content: bytes, **fields: str) -> httpx.Response:
    return platform.client.post("/inference", files={"file": ("image.png", content)}, data=fields)


def test_what_is_no_image_is_refused_with_where_and_why(platform: Platform) -> None:
    in_json = "#/data/B64Image/image"
    for answer, pointer, words in [
        (by_form(platform, b"a text file named .png"), in_json, "Not a PNG, JPEG or WebP file"),
        (by_form(platform, b64decode(EIGHT)[:-9]), in_json, "cut off"),
        (
            by_form(platform, b64decode(EIGHT), top_n="0"),
            "#/inference_type/ImageClassification/top_n",
            "Must be at least 1, not 0",
        ),
        (by_form(platform, b64decode(EIGHT), top_n="x"), "#/inference_type/ImageClassification/top_n", "whole number"),
        (by_form(platform, b64decode(EIGHT), top_n="11"), "#/inference_type/ImageClassification/top_n", "at most 10"),
        (
            platform.client.post("/inference", json=wanted("no base64!")),
            in_json,
            "Not base64: character 3 is a space",
        ),
        (platform.client.post("/inference", json=wanted("")), in_json, "The file is empty; send"),
        (by_form(platform, b64decode(EIGHT), topn="3"), "#/topn", "the form takes file, image, top_n"),
        (platform.client.post("/inference", files={"top_n": (None, "3")}), in_json, "Required"),
        (platform.client.post("/inference", json={"data": {}}), "#/data/B64Image", "Required"),
        (
            platform.client.post("/inference", json=wanted(EIGHT, Detection={})),
            "#/inference_type/Detection",
            "Unknown field; the fields are ImageClassification",
        ),
        (platform.client.post(SUBMIT, json=[{"image": EIGHT}, {"image": "AAAA"}]), "#/1/image", "Not a PNG"),
    ]:
        assert answer.status_code == 422, answer.text
        (fault,) = answer.json()["errors"]
        assert fault["pointer"] == pointer, answer.text
        assert words in fault["detail"], answer.text


def test_an_image_that_is_broken_inside_fails_its_own_task_only(platform: Platform) -> None:
    broken = b64encode(png(64, 64, chunk(b"IDAT", b"no stream of zlib's"))).decode()
    answers = [platform.client.post(SUBMIT, json=[{"image": image}]) for image in (EIGHT, broken, image_of(3))]
    first, second, third = (platform.finished(answer.json()["task_id"]) for answer in answers)
    assert [task["status"] for task in (first, second, third)] == ["SUCCESS", "FAILURE", "SUCCESS"]
    damaged = "The data of the PNG of 64 x 64 pixels is damaged; save the image anew and send that"
    assert second["error"] == f"#/0/image: {damaged}"
    assert second["errors"] == [{"detail": damaged, "pointer": "#/0/image"}]
    many = platform.client.post(SUBMIT, json=[{"image": image} for image in (EIGHT, broken, image_of(3), broken)])
    failed = platform.finished(many.json()["task_id"])
    assert failed["error"] == f"#/1/image: {damaged}; #/3/image: {damaged}"
    assert [error["pointer"] for error in failed["errors"]] == ["#/1/image", "#/3/image"]  # type: ignore[attr-defined]
    refused = platform.client.post("/inference", json=wanted(broken))
    assert refused.status_code == 422, refused.text
    assert refused.json()["errors"] == [{"detail": damaged, "pointer": "#/data/B64Image/image"}]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [broken]}
    in_tensors = platform.client.post("/v2/models/image_classifier/infer", json={"inputs": [tensor]})
    assert in_tensors.status_code == 422, in_tensors.text
    assert f"#/inputs/image/0: {damaged}." in in_tensors.json()["error"]


def test_a_body_that_is_neither_json_nor_a_form_is_refused(platform: Platform) -> None:
    raw = platform.client.post("/inference", content=b64decode(EIGHT), headers={"Content-Type": "image/png"})
    assert raw.status_code == 415
    assert "application/json or multipart/form-data" in raw.json()["detail"]
    cut = platform.client.post(
        "/inference", content=b"--b\r\nnonsense", headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert (cut.status_code, cut.json()["type"].rpartition(":")[2]) in [(422, "invalid-form"), (422, "invalid-input")]
    unbounded = platform.client.post("/inference", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert unbounded.status_code == 422


def test_a_batch_lands_in_typed_columns_and_comes_from_the_cache_the_second_time(
    platform: Platform, platform_engine: Engine
) -> None:
    batch = [{"image": image_of(7), "top_n": 2, "image_id": "a"}, {"image": image_of(9), "top_n": 3}]
    tasks = []
    for images in (batch, [*batch[::-1], {"image": image_of(11)}]):
        answer = platform.client.post(SUBMIT, json=images)
        assert answer.status_code == 202, answer.text
        tasks.append(platform.finished(answer.json()["task_id"]))
    first, second = tasks
    assert [len(row) for row in first["labels"]] == [2, 3]  # type: ignore[attr-defined]
    assert first["image_id"] == ["a", None]
    assert second["labels"][:2] == first["labels"][::-1]  # type: ignore[index]
    with platform_engine.connect() as connection:
        rows = connection.execute(
            text("""SELECT cached, image, label, labels, probabilities FROM image_labels
                    WHERE task_id IN (:first, :second) ORDER BY task_id, position"""),
            {"first": first["task_id"], "second": second["task_id"]},
        ).all()
    platform_engine.dispose()
    assert [row.cached for row in rows] == [False, False, True, True, False]
    assert bytes(rows[0].image) == b64decode(image_of(7))
    for row in rows:
        assert row.labels[0] == row.label
        assert len(row.labels) == len(row.probabilities)
