"""What a client writes is read in a time that grows with its length and no faster, by every parser that it meets.

Each case is sent with n and with 4 n bytes: a quadratic reader takes 16 times as long, and would stop a handler for
minutes at the lengths that are let in.
"""

import gc
import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from models.text_classifier import features
from models.translator.sentences import sentences
from tests.attacks.raw import LAST, answered
from tests.running import Platform, handler

GROWTH = 10
"""Of 4 times the bytes; 16 is quadratic, and what is measured is never quite still."""

HEAD, BODY = 14_000, 1_000_000
"""So many bytes, and four times as many: heads end at 64 KiB, bodies at 8 MiB."""

Sent = Callable[[int], bytes]


def get(path: str = "/heartbeat", **headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost"] if "Host" not in headers else [f"GET {path} HTTP/1.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def post(path: str, body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    sent = get(path, Content_Type=kind, Content_Length=str(len(body)), **headers)
    return sent.replace(b"GET", b"POST", 1) + body


def fill(length: int, piece: str, before: str = "", after: str = "") -> str:
    return before + piece * (length // len(piece)) + after


TASK = "/task/019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"
HEADERS: dict[tuple[str, str], list[tuple[str, str, str]]] = {
    ("Prefer", TASK): [
        ("0", "wait=", "x"),
        ("0", 'wait="', ""),
        (" ", "wait", "x"),
        (" ", "a", "wait=1"),
        (",", "", "wait=1"),
        ('"', "", ""),
        ('\\"', '"', ""),
        ('\\"', "", ""),
        (";", "wait=1", ""),
        ("wait=0,", "", ""),
        ('a="', "", ""),
    ],
    ("Idempotency-Key", "/submit"): [('"', "", ""), ("a", '"', ""), ("a", "", "\x7f"), (" ", "a", "a")],
    ("Authorization", "/tasks"): [
        (" ", "Bearer a", "a"),
        ("0", "Bearer mr_", ""),
        ("a", "", " a"),
        ("mr_0", "Bearer ", ""),
    ],
    ("Host", "/heartbeat"): [
        ("[", "", ""),
        ("1.", "", ""),
        (":", "", "x"),
        (":", "[", "]"),
        ("a.", "", "localhost"),
        ("0", "", ".0.0.1"),
    ],
    ("Origin", "/submit"): [("a", "http://", ""), ("://", "", ""), ("http://a,", "", "")],
    ("Content-Type", "/inference"): [
        (";", "multipart/form-data", ""),
        ("a", "multipart/form-data; boundary=", ""),
        ('\\"', 'multipart/form-data; boundary="', ""),
        ("; a=b", "multipart/form-data", ""),
        ('; a="b', "multipart/form-data", ""),
        (" ", "multipart/form-data;", "boundary=x"),
        ("=", "multipart/form-data;", "boundary=x"),
        ("; boundary*0=", "multipart/form-data", ""),
    ],
    ("Content-Encoding", "/v2/models/report_scorer/infer"): [("gzip, ", "", "x"), (" ", "a", "a")],
    ("Inference-Header-Content-Length", "/v2/models/report_scorer/infer"): [
        ("0", "", "x"),
        ("9", "", ""),
        (" ", "1", "1"),
    ],
    ("X-Request-Id", "/heartbeat"): [("a", "", "!"), (".", "", " ")],
    ("Range", "/swagger/swagger-ui.css"): [
        ("0-,", "bytes=", ""),
        ("0-1,", "bytes=", "0-1"),
        ("0", "bytes=", "-"),
        (" ", "bytes=0-", "x"),
        ("1-2,5-", "bytes=", ""),
    ],
    ("If-None-Match", "/swagger/swagger-ui.css"): [('"a", ', "", ""), ("W/", "", ""), (" ", "a", "a")],
    ("If-Modified-Since", "/swagger/swagger-ui.css"): [
        ("a ", "", ""),
        ("0", "Sat, ", ""),
        (":", "Sat, 28 Nov 2026 ", " GMT"),
        ("(", "", ""),
    ],
    ("If-Range", "/swagger/swagger-ui.css"): [("a ", "", ""), ("(", "", "")],
    ("X-Forwarded-For", "/heartbeat"): [("127.0.0.1,", "", ""), ("::1 ", "", ""), (",", "", "")],
    ("X-Forwarded-Proto", "/heartbeat"): [("https,", "", "")],
    ("Access-Control-Request-Headers", "/submit"): [("a,", "", ""), (" ", "a", "a")],
    ("traceparent", "/heartbeat"): [
        ("0", "00-", ""),
        ("-", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""),
    ],
    ("tracestate", "/heartbeat"): [
        (" ", "a=b", "a"),
        (",", "", ""),
        ("a", "", "=b"),
        ("@", "a", "=b"),
        ("a=b,", "", ""),
    ],
    ("Expect", "/heartbeat"): [("100-continue,", "", "")],
    ("Connection", "/heartbeat"): [("upgrade,", "", ""), (" ", "a", "a")],
    ("Accept", "/heartbeat"): [("*/*;q=0.", "", ""), ("a/b,", "", "")],
    ("Cookie", "/heartbeat"): [("a=b; ", "", ""), ('"\\', 'a="', "")],
}
TRACED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


def header_case(name: str, path: str, piece: str, before: str, after: str) -> Sent:
    def sent(length: int) -> bytes:
        headers = {name.replace("-", "_"): fill(length, piece, before, after)}
        if name == "tracestate":
            headers |= TRACED
        if name in ("Range", "If-Range"):
            headers = {"Range": "bytes=0-1"} | headers
        if name == "Access-Control-Request-Headers":
            asked = {"Origin": "https://a.example.com", "Access_Control_Request_Method": "POST"}
            return get(path, **asked, **headers).replace(b"GET", b"OPTIONS", 1)
        if path in ("/heartbeat", "/tasks", TASK) or path.startswith("/swagger"):
            return get(path, **headers)
        if name == "Content-Type":
            return post(path, b"--x--\r\n", headers.pop("Content_Type"), **headers)
        return post(path, b"[]", **headers)

    return sent


QUERIES: dict[str, list[tuple[str, str, str]]] = {
    "/tasks?": [
        ("a", "status=", ""),
        ("a", "model=", "!"),
        ("0", "limit=", "x"),
        ("9", "limit=", ""),
        (" ".replace(" ", "+"), "limit=", "1"),
        ("0", "submitted_after=2026-01-01T00:00:00.", "x"),
        ("0", "submitted_after=2026-", ""),
        ("-0", "submitted_after=2026", ""),
        ("0", "submitted_before=2026-01-01T00:00:00%2B", ""),
        ("-", "before=", ""),
        ("{", "before=", ""),
        ("&", "", ""),
        ("a&", "", ""),
        ("a=b&", "", ""),
        ("%", "", ""),
        ("%41", "", ""),
        ("%C3", "", ""),
        (";", "", ""),
        ("status=SUCCESS&", "", ""),
    ],
    "/submit?": [
        ("9", "deadline=", ""),
        ("0", "deadline=", "x"),
        ("0", "deadline=1.", "1"),
        ("9", "deadline=1e", ""),
        ("_1", "deadline=1", ""),
        ("0", "deadline=2026-01-01T00:00:00.", ""),
        ("high", "priority=", ""),
        ("a", "callback_url=", ""),
        ("a.", "callback_url=https://", ""),
        (":", "callback_url=https://[", "]"),
        ("@", "callback_url=https://", "a"),
        ("/", "callback_url=https:", ""),
        ("a&", "", ""),
        ("priority=high&", "", ""),
    ],
}
PATHS = [
    ("/", "", ""),
    ("a", "/task/", ""),
    ("a", "/models/", "/submit"),
    ("/submit", "/models", ""),
    ("/models/a", "/v2", "/infer"),
    ("/versions", "/v2/models/a", "/ready"),
    ("%2e", "/", ""),
    ("../", "/swagger/", ""),
    ("%2f", "/task/", "/cancel"),
    ("a", "http://", "/"),
    ("a://", "", ""),
]


def form(name: str = "file", content: bytes = b"", more: bytes = b"") -> bytes:
    return (
        b'--x\r\nContent-Disposition: form-data; name="'
        + name.encode()
        + b'"'
        + more
        + b"\r\n\r\n"
        + content
        + b"\r\n--x--\r\n"
    )


def distinct(length: int, *, start: str = "", each: str = '"{}":0') -> bytes:
    return (start + "{" + ",".join(each.format(number) for number in range(length // 10)) + "}").encode()


JSON_BODIES: list[tuple[str, str, str]] = [
    ("[", "", ""),
    ('{"a":', "", ""),
    ("9", "[", "]"),
    ("9", '[{"popularity":', "}]"),
    ("0", '[{"profile_rating":0.', "1}]"),
    ("9", '[{"profile_rating":1e', "}]"),
    ("9", '[{"profile_rating":', ".5}]"),
    ("\\", '["', ""),
    ("\\u0041", '["', '"]'),
    ("\\ud800", '["', '"]'),
    (" ", "[", "]"),
    (" ", "", ""),
    ("\xc3", '["', '"]'),
    ("0,", "[", "0]"),
    ("{},", "[", "{}]"),
    ('""', "[", "]"),
    ("a", '[{"report_id":"', '","x":1}]'),
    ("a", '[{"abuse_type":"', '"}]'),
    ("\\u0000", '[{"report_id":"', '"}]'),
    ("0,", '{"payload":{"fromLang":"en","toLang":"de","records":[', "0]}}"),
    ('{"id":0},', '{"payload":{"fromLang":"en","toLang":"de","records":[', "{}]}}"),
]
TEXTS: list[tuple[str, str, str]] = [
    (" ", "", ""),
    ("subject:", "", "\n\n"),
    ("\nsubject:", "", ""),
    ("re:", "Subject: ", "\n\na"),
    (" re ", "Subject: ", "\n\na"),
    ("re :", "Subject: ", "\n\na"),
    (". ", "", ""),
    (".", "", "a"),
    ("。", "", "a"),
    ("。」", "", ""),
    ("!\u201d", "", ""),
    ("\n", "", "a"),
    (". a", "", ""),
    ("a.\n", "", ""),
]


def body_case(path: str, piece: str, before: str, after: str) -> Sent:
    return lambda length: post(path, fill(length, piece, before, after).encode("latin-1"))


def names(length: int, times: int) -> str:
    return "&".join([f"{number:x}" for number in range(length // 5 // times)] * times)


def cases() -> Iterator[tuple[str, Sent, int]]:
    for (name, path), fillings in HEADERS.items():
        for filling in fillings:
            yield f"{name} {filling}", header_case(name, path, *filling), HEAD
    for path, fillings in QUERIES.items():
        method = partial(post, body=b"[]") if path == "/submit?" else get
        for filling in fillings:
            yield f"{path} {filling}", lambda n, m=method, p=path, f=filling: m(p + fill(n, *f)), HEAD  # type: ignore[misc]
        for times in (1, 2):
            yield f"{path} {times} of each name", lambda n, m=method, p=path, t=times: m(p + names(n, t)), HEAD  # type: ignore[misc]
    for filling in PATHS:
        yield f"path {filling}", lambda n, f=filling: get(fill(n, *f)), HEAD  # type: ignore[misc]
    for path in ("/submit", "/predict", "/translation", "/v2/models/report_scorer/infer"):
        for filling in JSON_BODIES:
            yield f"{path} {filling}", body_case(path, *filling), BODY
        yield f"{path} many fields", lambda n, p=path: post(p, distinct(n)), BODY  # type: ignore[misc]
    for piece in ("=", "A", "A=", "\\n", "-_"):
        image = partial(body_case("/inference", piece, '{"data":{"B64Image":{"image":"', '!"}}}'))
        yield f"an image {piece!r}", image, BODY
    kind = "multipart/form-data; boundary=x"
    for name, body in FORMS.items():
        yield f"form {name}", lambda n, b=body: post("/inference", b(n), kind), BODY  # type: ignore[misc]
    tensors = "/v2/models/report_scorer/infer"
    for name, body in TENSORS.items():
        yield f"tensors {name}", lambda n, b=body: post(tensors, b(n)), BODY  # type: ignore[misc]


FORMS: dict[str, Sent] = {
    "content": lambda n: form(content=b"a" * n),
    "lines": lambda n: form(content=b"\r\n" * (n // 2)),
    "half boundaries": lambda n: form(content=b"\r\n--" * (n // 4)),
    "nearly boundaries": lambda n: form(content=b"\r\n--y" * (n // 5)),
    "a preamble": lambda n: b"\r\n" * (n // 2) + form(),
    "an epilogue": lambda n: form() + b"-" * n,
    "a long name": lambda n: form("a" * n),
    "escapes in a name": lambda n: form('\\"' * (n // 2)),
    "parameters": lambda n: form(more=b'; a="b"' * (n // 7)),
    "quotes": lambda n: form(more=b"; filename=" + b'"' * n),
    "header lines": lambda n: form(more=b"\r\nA: b" * (n // 6)),
    "a header": lambda n: form(more=b"\r\nA: " + b" " * n + b"b"),
    "parts": lambda n: form().replace(b"--x--\r\n", b"") * (n // 60),
    "no boundary": lambda n: b"-" * n,
}


def tensor(**members: object) -> dict[str, object]:
    return {"name": "popularity", "datatype": "INT32", "shape": [1], "data": [1]} | members


TENSORS: dict[str, Sent] = {
    "a shape": lambda n: json.dumps({"inputs": [tensor(shape=[1] * (n // 3))]}).encode(),
    "many": lambda n: json.dumps({"inputs": [tensor()] * (n // 70)}).encode(),
    "many names": lambda n: json.dumps({"inputs": [tensor(name=f"{i}") for i in range(n // 70)]}).encode(),
    "a name": lambda n: json.dumps({"inputs": [tensor(name="a" * n)]}).encode(),
    "data": lambda n: json.dumps({"inputs": [tensor(shape=[n // 3], data=[1] * (n // 3))]}).encode(),
    "lists": lambda n: json.dumps({"inputs": [tensor(shape=[n // 5, 1], data=[[1]] * (n // 5))]}).encode(),
    "outputs": lambda n: json.dumps({"inputs": [tensor()], "outputs": [{"name": "score"}] * (n // 20)}).encode(),
    "output names": lambda n: json.dumps(
        {"inputs": [tensor()], "outputs": [{"name": f"{i}"} for i in range(n // 20)]}
    ).encode(),
    "parameters": lambda n: b'{"inputs": [], "parameters": ' + distinct(n) + b"}",
}
CASES = list(cases())


@pytest.fixture(scope="module")
def asked(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A handler with everything on that reads headers."""
    urls = platform.environment
    settings = {
        "CORS_ORIGINS": "https://a.example.com",
        "TRACING_ENDPOINT": "http://127.0.0.1:9/v1/traces",
        "TRACING_SAMPLE": "0",
        "WEBHOOK_SECRET": "whsec_" + b64encode(bytes(32)).decode(),
    }
    with handler(urls["DATABASE_URL"], urls["REDIS_URL"], tmp_path_factory.mktemp("asked"), **settings) as asked:
        yield asked


def growth(take: Callable[[int], object], length: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how many times as long four times as much takes; look again while that is more than it should be."""
    shortest = {length: float("inf"), 4 * length: float("inf")}
    for attempt in range(8):
        for size in shortest:
            start = clock()
            take(size)
            shortest[size] = min(shortest[size], clock() - start)
        if attempt and shortest[4 * length] < GROWTH * shortest[length]:
            break
    return shortest[4 * length] / shortest[length]


@pytest.mark.parametrize("kind", [kind for kind, _, _ in CASES])
def test_every_byte_of_a_request_costs_the_same(asked: Platform, closed: Platform, kind: str) -> None:
    sent, length = next((sent, length) for name, sent, length in CASES if name == kind)
    port = closed.port if kind.startswith("Authorization") else asked.port
    take = {size: sent(size) + LAST for size in (length, 4 * length)}
    assert growth(lambda size: answered(port, take[size]), length) < GROWTH


READERS: dict[str, Callable[[str], object]] = {"a text's words": features.terms, "a text's sentences": sentences}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("filling", TEXTS)
def test_every_letter_of_a_text_costs_the_same(reader: str, filling: tuple[str, str, str]) -> None:
    gc.disable()  # it looks at all that the tests hold
    try:
        assert growth(lambda size: READERS[reader](fill(size, *filling)), 25_000, time.thread_time) < GROWTH
    finally:
        gc.enable()
