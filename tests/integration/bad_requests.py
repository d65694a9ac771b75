"""Bad requests of every kind, and what their problems must say. (A table for test_bad_input.py.)"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from tests.running import REPORT

JSON = {"Content-Type": "application/json"}
MB = 2**20


def rows(*changes: dict[str, object]) -> bytes:
    return json.dumps([REPORT | change for change in changes]).encode()


def row(**members: str) -> bytes:
    """One report in an array, some of whose members are given as JSON text."""
    one = {name: json.dumps(value) for name, value in REPORT.items()} | members
    return ("[{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in one.items()) + "}]").encode()


def streamed(size: int) -> Iterator[bytes]:
    for _ in range(size // 65536 + 1):
        yield b" " * 65536


@dataclass
class Bad:
    """A request to refuse, and what its problem must hold."""

    body: bytes = b"[]"
    kind: str = "invalid-input"
    pointers: list[str] | None = None
    words: str = ""
    status: int = 422
    to: str = "POST /submit"
    headers: dict[str, str] = field(default_factory=lambda: JSON)
    chunked: int = 0


def invalid_json(body: bytes, words: str, **more: str) -> Bad:
    return Bad(body, "invalid-json", words=words, **more)


def fault(body: bytes, pointer: str, words: str, **more: str) -> Bad:
    return Bad(body, pointers=[pointer], words=words, **more)


def parameter(query: str, words: str, to: str = "GET /tasks?") -> Bad:
    return Bad(b"", "invalid-parameter", words=words, to=to + query, headers={})


def media_type(words: str, **headers: str) -> Bad:
    return Bad(rows({}), "wrong-content-type", None, words, 415, headers=headers)


def method(to: str) -> Bad:
    return Bad(b"", "method-not-allowed", words="see the Allow header", status=405, to=to, headers={})


DEEP_ARRAY, DEEP_OBJECT = "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000
UNKNOWN = "Unknown field; the fields are abuse_type, report_text_len"
MANY_NAMES = ",".join(f'"{n:x}":1' for n in range(700_000))

TABLE: dict[str, Bad] = {
    # Not JSON
    "an empty body": invalid_json(b"", "it is empty"),
    "white space": invalid_json(b" \r\n\t", "it is empty"),
    "a byte order mark": invalid_json(b"\xef\xbb\xbf" + rows({}), "byte order mark; send UTF-8"),
    "UTF-16": invalid_json(rows({}).decode().encode("utf-16"), "send UTF-8"),
    "UTF-16 without a mark": invalid_json(rows({}).decode().encode("utf-16-le"), "it is UTF-16"),
    "invalid UTF-8": invalid_json(row(report_id='"?"').replace(b"?", b"\xff\xfe"), "it is not UTF-8"),
    "invalid UTF-8 in a name": invalid_json(row(report_id="1").replace(b"report_id", b"\xc0\xaf"), "it is not UTF-8"),
    "a lone surrogate": invalid_json(row(report_id=r'"\ud800"'), "half of a surrogate pair"),
    "a lone surrogate in UTF-8": invalid_json(row(report_id='"?"').replace(b"?", b"\xed\xa0\x80"), "it is not UTF-8"),
    "a raw NUL": invalid_json(row(report_id='"?"').replace(b"?", b"\x00"), "control character"),
    "half a body": invalid_json(rows({})[:-9], "it ends too early"),
    "trailing garbage": invalid_json(rows({}) + b"x", "there is more text after its end"),
    "a trailing comma": invalid_json(b"[1,]", "there is a comma before a closing bracket"),
    "single quotes": invalid_json(b"[{'popularity': 3}]", "must be in double quotes (line 1, column 3)"),
    "a leading zero": invalid_json(row(popularity="03"), "a number is malformed"),
    "an integer of 5,000 digits": invalid_json(row(popularity="9" * 5000), "too many digits"),
    "100,000 nested arrays": invalid_json(DEEP_ARRAY.encode(), "nested too deeply"),
    "100,000 nested objects": invalid_json(DEEP_OBJECT.encode(), "nested too deeply"),
    "nested arrays in a field": invalid_json(row(report_id=DEEP_ARRAY), "nested too deeply"),
    "nested objects in an unknown field": invalid_json(row(x=DEEP_OBJECT), "nested too deeply"),
    # Not the shape
    "an empty array": Bad(b"[]", words="send at least one"),
    "a single object": Bad(rows({})[1:-1], words="wrap a single one in [ ]"),
    "null": Bad(b"null", words="must be a JSON array"),
    "a number": Bad(b"1", words="must be a JSON array"),
    "an array in an array": fault(b"[[]]", "#/0", "Must be an object"),
    "a string for an object": fault(b'["x"]', "#/0", "Must be an object"),
    "10,001 reports": Bad(rows(*[{}] * 10_001), "too-many-inputs", words="10001 inputs exceed the limit of 10000"),
    "2,000,000 numbers": Bad(
        b"[" + b"1," * 1_999_999 + b"1]", "too-many-inputs", words="2000000 inputs exceed the limit of 10000"
    ),
    # Not the fields
    "a field that is missing": fault(
        b"[{" + rows({})[rows({}).index(b", ") + 2 :], "#/0/abuse_type", "Required field is missing"
    ),
    "a wrong enum": fault(
        rows({"abuse_type": "SPAM"}), "#/0/abuse_type", "Must be 'MSG' or 'PRF', not the string 'SPAM'"
    ),
    "NaN": fault(row(profile_rating="NaN"), "#/0/profile_rating", "finite number"),
    "infinity": fault(row(profile_rating="-Infinity"), "#/0/profile_rating", "finite number"),
    "1e999": fault(row(profile_rating="1e999"), "#/0/profile_rating", "finite number"),
    "400 digits for a float": fault(row(profile_rating="9" * 400), "#/0/profile_rating", "finite number"),
    "a number below its range": fault(
        rows({"profile_rating": -0.1}), "#/0/profile_rating", "Must be at least 0, not -0.1"
    ),
    "a number above its range": fault(rows({}, {"popularity": 6}), "#/1/popularity", "Must be at most 5, not 6"),
    "an integer over 32 bits": fault(rows({"report_text_len": 2**31}), "#/0/report_text_len", "2147483647"),
    "an integer over 64 bits": fault(rows({"report_text_len": 2**64}), "#/0/report_text_len", "2147483647"),
    "1.5 for an integer": fault(row(popularity="1.5"), "#/0/popularity", "a whole number, not 1.5"),
    "a large integer with a point": fault(
        row(report_text_len="9007199254740993.0"), "#/0/report_text_len", "without a point or an exponent"
    ),
    "a string for an integer": fault(rows({"popularity": "3"}), "#/0/popularity", "whole number, not the string '3'"),
    "true for an integer": fault(rows({"popularity": True}), "#/0/popularity", "whole number, not true"),
    "true for a float": fault(rows({"profile_rating": True}), "#/0/profile_rating", "Must be a number, not true"),
    "null for a number": fault(rows({"popularity": None}), "#/0/popularity", "whole number, not null"),
    "NUL in report_id": fault(rows({"report_id": "a\0"}), "#/0/report_id", "Must not contain the character NUL"),
    "a report_id of 65 characters": fault(rows({"report_id": "é" * 65}), "#/0/report_id", "at most 64 characters"),
    "a number for report_id": fault(rows({"report_id": 1}), "#/0/report_id", "Must be a string, not 1"),
    "a field that came twice, the last one wrong": fault(
        rows({})[:-2] + b',"popularity":9}]', "#/0/popularity", "Must be at most 5, not 9"
    ),
    "an unknown field": fault(rows({"colour": 1}), "#/0/colour", UNKNOWN),
    "an unknown field without a name": fault(rows({"": 1}), "#/0/", UNKNOWN),
    "an unknown field to be escaped": fault(rows({"a/b~c %é": 1}), "#/0/a~1b~0c%20%25%C3%A9", UNKNOWN),
    "a bad row among good ones": fault(rows(*[{}] * 17, {"popularity": -1}, {}), "#/17/popularity", "at least 0"),
    "four faults": Bad(
        rows({"popularity": 9, "abuse_type": "?"}, {}, {"x": 1, "popularity": 9}),
        pointers=["#/0/abuse_type", "#/0/popularity", "#/2/popularity", "#/2/x"],
        words="4 errors in the input; nothing was stored",
    ),
    "exactly 100 faults": Bad(
        rows(*[{"popularity": 9}] * 100), pointers=[f"#/{n}/popularity" for n in range(100)], words="100 errors"
    ),
    "more than 100 faults": Bad(
        rows(*[{"popularity": 9}] * 9999),
        pointers=[f"#/{n}/popularity" for n in range(100)],
        words="More than 100 errors, of which the first 100 are listed",
    ),
    "700,000 unknown fields": Bad(b"[{" + MANY_NAMES.encode() + b"}]", words="More than 100 errors"),
    # POST /predict takes one object
    "predict: an array": Bad(rows({}), words="one JSON object; send several to POST /submit", to="POST /predict"),
    "predict: two objects": invalid_json(rows({}, {})[1:-1], "there is more text after its end", to="POST /predict"),
    "predict: trailing garbage": invalid_json(
        rows({})[1:-1] + b"]", "there is more text after its end", to="POST /predict"
    ),
    "predict: a way out of the brackets": invalid_json(
        b"{}],[{}", "there is more text after its end", to="POST /predict"
    ),
    "predict: an empty body": invalid_json(b"", "it is empty", to="POST /predict"),
    "predict: a wrong field": fault(rows({"popularity": 6})[1:-1], "#/popularity", "at most 5", to="POST /predict"),
    "predict: invalid UTF-8": invalid_json(b'{"a":"\xff"}', "it is not UTF-8", to="POST /predict"),
    "predict: 700,000 unknown fields": Bad(
        b"{" + MANY_NAMES.encode() + b"}", words="More than 100 errors", to="POST /predict"
    ),
    # Not what the headers should say
    "no content type": media_type("the header is missing"),
    "a content type of its own": media_type("not 'text/plain'", **{"Content-Type": "text/plain; charset=utf-8"}),
    "a form": media_type("not 'application/x-www-form", **{"Content-Type": "application/x-www-form-urlencoded"}),
    "XML": media_type("not 'application/xml'", **{"Content-Type": "application/xml"}),
    "another charset": Bad(
        '[{"report_id":"é"}]'.encode("latin-1"),
        "invalid-json",
        words="it is not UTF-8",
        headers={"Content-Type": "application/json; charset=latin-1"},
    ),
    "brotli": Bad(rows({}), "wrong-content-encoding", None, "'br'", 415, headers=JSON | {"Content-Encoding": "br"}),
    "a body over the limit": Bad(b" " * 9 * MB, "body-too-large", None, "over 8388608 bytes; send several", 413),
    "a streamed body over the limit": Bad(b"", "body-too-large", None, "over 8388608 bytes", 413, chunked=9 * MB),
    # Not an endpoint
    "GET /submit": method("GET /submit"),
    "PUT /submit": method("PUT /submit"),
    "DELETE /submit": method("DELETE /submit"),
    "POST /tasks": method("POST /tasks"),
    "an unknown path": Bad(
        b"", "not-found", None, "no endpoint at /nowhere; /docs lists the endpoints", 404, to="GET /nowhere"
    ),
    "an unknown model": Bad(
        rows({}),
        "unknown-model",
        None,
        "'x'; the models are image_classifier, report_scorer",
        404,
        to="POST /models/x/submit",
    ),
    "an unknown model to read": Bad(
        b"", "unknown-model", None, "the models are image_classifier, report_scorer", 404, to="GET /models/x%00"
    ),
    # Not a parameter
    "a task id that is none": parameter("17", "task_id: Must be an id such as", "GET /task/"),
    "a limit of 0": parameter("limit=0", "limit: Must be at least 1, not '0'"),
    "a limit of 1,001": parameter("limit=1001", "Must be at most 1000"),
    "a limit of 5,000 digits": parameter("limit=" + "9" * 5000, "limit: "),
    "a limit that is no number": parameter("limit=all", "Must be a whole number, not 'all'"),
    "a status in lower case": parameter("status=pending", "'PENDING', 'STARTED', 'SUCCESS'"),
    "NUL in a model's name": parameter("model=%00", "model: Must be the name of a model"),
    "a model without a name": parameter("model=", "model: "),
    "a cursor that is none": parameter("before=1", "before: Must be an id such as"),
    "a time that is none": parameter("submitted_after=yesterday", "as 2026-01-31T09:00:00Z"),
    "a time without an offset": parameter("submitted_after=2026-01-01T00:00:00", "with its offset from UTC"),
    "a plus that became a space": parameter("submitted_after=2026-01-01T00:00:00+00:00", "a + is written %2B"),
    "the year 1": parameter("submitted_after=0001-01-01T00:00:00Z", "a year from 1901"),
    "the year 10000, soon": parameter("submitted_before=9999-12-31T23:59:59-12:00", "a year from 1901"),
    "a date alone": parameter("submitted_after=2026-01-31", "as 2026-01-31T09:00:00Z"),
    "30 February": parameter("submitted_after=2026-02-30T00:00:00Z", "no day 30 in 2026-02, which has 28"),
    "two of a filter": parameter("status=SUCCESS&status=REVOKED", "status: Repeated; send it once"),
    "two of a parameter that is not known": parameter("x=1&x=2", "x: Repeated; send it once", "GET /models?"),
    "a misspelt filter": parameter("stauts=PENDING", "stauts: Unknown parameter"),
}


def send(client: httpx.Client, bad: Bad) -> httpx.Response:
    verb, path = bad.to.split(" ", 1)
    content = streamed(bad.chunked) if bad.chunked else bad.body
    return client.request(verb, path, content=content, headers=JSON if bad.chunked else bad.headers)
