"""No answer speaks in the words of a library, whatever is wrong with a request, and each names the field."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from models.image_classifier.examples import EIGHT
from tests.integration.bad_requests import TABLE, send
from tests.running import REPORT, Platform

OF_LIBRARIES = re.compile(
    r"Input should|Field required|Extra inputs|String should|Value error|valid integer|valid number|valid string"
    r"|should match|unable to pars|validation error|pydantic|msgspec|Expected `|got `|`\$|malformed \(byte|binascii"
    r"|padding is|Only base64 data|Non-base64|cannot identify|PIL\.|<_io|<class '|object at 0x|0x[0-9a-f]{6}|Traceback"
    r"|Error\b|errno|EOF|trailing characters|hex escape|expected value|recursion limit|code point|NoneType"
    r"|\bdict\b|\bint\b|\bstr\b|\bfloat\b|\bbool\b|boundary character|decompressing|\^\[|\]\*|\{[0-9]+,[0-9]+\}"
    r"|zlib|utf-8' codec|asyncpg|sqlalchemy"
)

TRANSLATION = {"payload": {"fromLang": "en", "toLang": "fr", "records": [{"id": "1", "text": "Good morning."}]}}
INFERENCE = {"data": {"B64Image": {"image": EIGHT}}, "inference_type": {"ImageClassification": {"top_n": 2}}}
TENSORS = {
    "inputs": [
        {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["A rocket."]},
        {"name": "document_id", "datatype": "BYTES", "shape": [1], "data": ["d-1"]},
    ],
    "outputs": [{"name": "label", "parameters": {"binary_data": False}}],
    "id": "42",
    "parameters": {},
}
BODIES: dict[str, Any] = {
    "/submit": [REPORT],
    "/predict": REPORT,
    "/models/report_scorer/submit": [REPORT | {"report_id": "r-1"}],
    "/models/text_classifier/submit": [{"text": "A rocket.", "document_id": "d-1"}],
    "/models/translator/submit": [{"text": "Good morning.", "source": "en", "target": "fr", "id": "1"}],
    "/models/image_classifier/submit": [{"image": EIGHT, "top_n": 3, "image_id": "i-1"}],
    "/prediction": {"text": "A rocket."},
    "/translation": TRANSLATION,
    "/inference": INFERENCE,
    "/v2/models/text_classifier/infer": TENSORS,
    "/v2/repository/index": {"ready": True},
}
WRONG: list[Any] = [
    None,
    True,
    3.5,
    -1,
    2**70,
    1e300,
    "",
    "x\0y",
    "☃" * 70,
    "data:,x",
    "!!",
    "a b",
    [],
    {},
    [[1]],
    {"$": 1},
]


class Wrong(NamedTuple):
    path: str
    body: Any
    place: tuple[str | int, ...]


def places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield place
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from places(part, (*place, name))


def changed(body: Any, place: tuple[str | int, ...], value: Any) -> Any:
    if not place:
        return value
    body = copy.deepcopy(body)
    parent = body
    for step in place[:-1]:
        parent = parent[step]
    if value is ...:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return body


def wrong(path: str) -> Iterator[Wrong]:
    """Yield the route's body with each of its parts replaced by each wrong value, left out, and with one more field."""
    body = BODIES[path]
    for place in places(body):
        values = [...] if place else []
        for value in [*WRONG, *values]:
            yield Wrong(path, changed(body, place, value), place)
        yield (
            Wrong(path, changed(body, (*place, "colour"), 1), (*place, "colour"))
            if is_object(body, place)
            else Wrong(path, changed(body, place, {"colour": 1}), place)
        )


def is_object(body: Any, place: tuple[str | int, ...]) -> bool:
    for step in place:
        body = body[step]
    return isinstance(body, dict)


def spoken(answer: str) -> re.Match[str] | None:
    """Return the first words of a library, beside what the client itself has sent."""
    return OF_LIBRARIES.search(answer.replace("the string 'x\\\\x00y'", ""))


@pytest.mark.parametrize("path", BODIES)
def test_whatever_is_wrong_in_a_body_is_said_in_plain_words_with_the_field(platform: Platform, path: str) -> None:
    refused = 0
    for one in wrong(path):
        answer = platform.client.post(path, content=json.dumps(one.body), headers={"Content-Type": "application/json"})
        assert answer.status_code < 500, (one, answer.text)
        if answer.status_code < 400:
            continue
        refused += 1
        assert spoken(answer.text) is None, (one, answer.text)
        last = next((str(step) for step in reversed(one.place) if isinstance(step, str)), "")
        assert last in answer.text or re.search("(In|Out)put '|#/inputs/|tensors differ|inputs exceed", answer.text), (
            one,
            answer.text,
        )
        problem = answer.json()
        assert path.startswith("/v2") or problem.get("errors") or problem["detail"].startswith(("The ", "There ")), (
            problem
        )
    assert refused > 5


PARAMETERS = {
    "GET /tasks": ("status", "model", "submitted_after", "submitted_before", "before", "limit", "colour"),
    "POST /submit": ("priority", "deadline", "callback_url", "colour"),
    "POST /prediction": ("priority", "deadline", "callback_url", "colour"),
}
TEXTS = [
    "",
    " ",
    "x",
    "\0",
    "-1",
    "1e999",
    "nan",
    "9" * 5000,
    "2026-02-30T00:00:00Z",
    "2026-01-31",
    "☃",
    "[",
    "a&b",
    "0.5x",
    "%",
    "é" * 3000,
]


@pytest.mark.parametrize("route", PARAMETERS)
def test_whatever_is_wrong_in_a_query_is_said_in_plain_words_with_the_parameter(platform: Platform, route: str) -> None:
    verb, path = route.split()
    for name in PARAMETERS[route]:
        for text in TEXTS:
            answer = platform.client.request(verb, path, params={name: text}, json=[REPORT] if verb == "POST" else None)
            assert answer.status_code < 500, (name, text, answer.text)
            if answer.status_code == 422 and "invalid-input" not in answer.text:
                assert name in answer.json()["detail"], answer.text
                assert spoken(answer.text) is None, answer.text
        twice = platform.client.request(verb, f"{path}?{name}=1&{name}=1", json=[REPORT] if verb == "POST" else None)
        assert f"{name}: Repeated; send it once" in twice.json()["detail"]


def test_no_bad_request_of_the_table_is_answered_in_the_words_of_a_library(platform: Platform) -> None:
    for name, bad in TABLE.items():
        assert spoken(send(platform.client, bad).text) is None, name
