"""POST /translation, as its clients see it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from sqlalchemy import text

from store.engine import connect
from tests.running import Platform

EXAMPLE = "Life is like a box of chocolates."
IN_JAPANESE = "人生はチョコレートの箱のようなものだ。"


def body(*records: tuple[str, str], source: str = "en", target: str = "ja") -> dict[str, Any]:
    listed = [{"id": key, "text": record} for key, record in records]
    return {"payload": {"fromLang": source, "records": listed, "toLang": target}}


def translate(platform: Platform, given: dict[str, Any]) -> httpx.Response:
    return platform.client.post("/translation", json=given)


def test_records_come_back_translated_in_their_order(platform: Platform) -> None:
    given = body(("123", EXAMPLE), ("7", ""), ("123", "Good night."), ("123", EXAMPLE))
    answer = translate(platform, given)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "result": [
            {"id": "123", "text": IN_JAPANESE},
            {"id": "7", "text": ""},
            {"id": "123", "text": "おやすみなさい。"},
            {"id": "123", "text": IN_JAPANESE},
        ]
    }
    assert translate(platform, given).json() == answer.json()  # from the cache this time


def test_no_records_have_no_translations(platform: Platform) -> None:
    assert translate(platform, body()).json() == {"result": []}


def test_clients_with_different_languages_each_get_their_own(platform: Platform) -> None:
    wanted = {
        ("en", "de"): "Das Leben ist wie eine Schachtel Pralinen.",
        ("en", "fr"): "La vie est comme une boîte de chocolats.",
        ("en", "ja"): IN_JAPANESE,
        ("en", "en"): EXAMPLE,
    }
    pairs = [*wanted] * 8
    with ThreadPoolExecutor(16) as clients:
        answers = list(
            clients.map(lambda pair: translate(platform, body(("1", EXAMPLE), source=pair[0], target=pair[1])), pairs)
        )
    assert [answer.json()["result"][0]["text"] for answer in answers] == [wanted[pair] for pair in pairs]


def test_an_unknown_language_is_refused_at_the_door_with_the_known_ones(platform: Platform) -> None:
    answer = translate(platform, body(("1", EXAMPLE), target="tlh"))
    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert fault["pointer"] == "#/payload/toLang"
    assert "'tlh'; it knows de, en, fr, ja" in fault["detail"]


def test_a_fault_points_at_its_record(platform: Platform) -> None:
    answer = translate(platform, body(("1", EXAMPLE), ("2", "a" * 10_001)))
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["#/payload/records/1/text"]
    misshaped = {"payload": {"fromLang": "en", "records": [{"id": 1, "text": "a"}], "toLang": "ja"}}
    assert [fault["pointer"] for fault in translate(platform, misshaped).json()["errors"]] == ["#/payload/records/0/id"]


def test_translations_are_stored_in_typed_columns(platform: Platform) -> None:
    key = "stored-translation"
    assert translate(platform, body((key, EXAMPLE))).status_code == 200
    engine = connect(platform.database_url)
    with engine.connect() as connection:
        query = text("SELECT text, source, target, translation, model_version FROM translations WHERE id = :id")
        assert [tuple(row) for row in connection.execute(query, {"id": key})] == [
            (EXAMPLE, "en", "ja", IN_JAPANESE, "phrasebook-1.0.0")
        ]
    engine.dispose()
