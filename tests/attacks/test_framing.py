"""Where one request ends and the next begins: whatever its head asks for, and however its body is framed."""

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.attacks.raw import BODY, LAST, answered, post
from tests.attacks.test_http import CHUNKED, LENGTH, heard, no_content, serving
from tests.running import REPORT, Platform

FORM = b'--x\r\nContent-Disposition: form-data; name="top_n"\r\n\r\n1\r\n--x--\r\n'
TASK = b"/task/019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"
ROUTES = {
    "a batch": (b"POST /submit", b"application/json", BODY, 202),
    "one input": (b"POST /predict", b"application/json", BODY[1:-1], 200),
    "a model's own endpoint": (b"POST /prediction", b"application/json", b'{"text": "The goalie made 40 saves."}', 200),
    "a form": (b"POST /inference", b"multipart/form-data; boundary=x", FORM, 422),
    "tensors": (b"POST /v2/models/report_scorer/infer", b"application/json", b"{}", 422),
    "a body that is not read": (b"POST " + TASK + b"/cancel", b"application/json", BODY, 404),
    "a body too many": (b"GET " + TASK, b"application/json", BODY, 404),
    "health": (b"GET /heartbeat", b"application/json", BODY, 200),
    "nothing": (b"POST /nowhere", b"application/json", BODY, 404),
    "a method that is not taken": (b"PUT /submit", b"application/json", BODY, 405),
}
TOKENS = [b"h2c", b"websocket", b"H2C, foo/2", b"TLS/1.0", b"x" * 300]
OFFERS = [None, *(b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\nUpgrade: " + t for t in TOKENS)]


def request(route: str, offer: bytes | None, *framing: bytes) -> bytes:
    start, kind, _, _ = ROUTES[route]
    lines = [start + b" HTTP/1.1", b"Host: localhost", b"Content-Type: " + kind, *framing, *([offer] if offer else [])]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def in_chunks(body: bytes) -> bytes:
    half = len(body) // 2
    parts = b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    return parts + b"0\r\nX-Trailer: 1\r\n\r\n"


def framings(route: str, offer: bytes | None) -> dict[str, tuple[bytes, ...]]:
    """Return the request in each framing, in the pieces in which it is sent, with another request behind it."""
    body = ROUTES[route][2]
    head = request(route, offer, b"Content-Length: %d" % len(body))
    chunked = request(route, offer, b"Transfer-Encoding: chunked")
    return {
        "a length": (head + body + LAST,),
        "a length, the body later": (head, body, LAST),
        "a length, in odd pieces": (head[:30], head[30:] + body[:5], body[5:] + LAST[:9], LAST[9:]),
        "chunks": (chunked + in_chunks(body) + LAST,),
        "chunks, later": (chunked, in_chunks(body)[:7], in_chunks(body)[7:] + LAST),
        "no body": (request(route, offer) + LAST,),
    }


def test_a_request_that_asks_for_an_upgrade_is_answered_as_one_that_does_not(platform: Platform) -> None:
    """On every kind of route, in every framing, whatever it asks for; and what comes behind it is the next request."""
    with ThreadPoolExecutor(16) as clients:
        found = {
            (route, framing, offer): clients.submit(answered, platform.port, *pieces)
            for route, offer in itertools.product(ROUTES, OFFERS)
            for framing, pieces in framings(route, offer).items()
        }
    wrong = {}
    for (route, framing, offer), got in found.items():
        expected = ROUTES[route][3] if framing != "no body" else found[route, framing, None].result()[0]
        if got.result() != [expected, 200]:
            wrong[route, framing, offer] = got.result()
    assert wrong == {}


@pytest.mark.parametrize("token", TOKENS)
def test_a_request_within_a_body_behind_an_upgrade_stays_a_body(platform: Platform, token: bytes) -> None:
    key = uuid4().hex
    inner = post(LENGTH, b"Idempotency-Key: " + key.encode())
    offer = (b"Connection: Upgrade", b"Upgrade: " + token)
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner)
    for framing, body in ((b"Content-Length: %d" % len(inner), inner), (b"Transfer-Encoding: chunked", chunks)):
        head = post(*offer, framing, body=b"")
        assert answered(platform.port, head, body, LAST) == [422, 200]
        assert answered(platform.port, head + body + LAST) == [422, 200]
    stored = platform.client.post("/submit", json=[REPORT], headers={"Idempotency-Key": key})
    assert stored.status_code == 202
    assert "idempotency-replayed" not in stored.headers, "the inner request was taken for one"


GET = b"GET /heartbeat HTTP/1.1\r\n"
AMBIGUOUS = {
    "Host": {
        "no host": GET + b"\r\n",
        "two hosts": GET + b"Host: localhost\r\nHost: localhost\r\n\r\n",
        "two different hosts": GET + b"Host: localhost\r\nhOST: evil.example.com\r\n\r\n",
        "two hosts in HTTP/1.0": GET.replace(b"1.1", b"1.0") + b"Host: localhost\r\nHost: localhost\r\n\r\n",
        "another host in the target": b"GET http://evil.example.com/heartbeat HTTP/1.1\r\nHost: localhost\r\n\r\n",
    },
    "Transfer-Encoding": {
        coding.decode(): post(b"Transfer-Encoding: " + coding, body=CHUNKED)
        for coding in (b"gzip, chunked", b"gzip,chunked", b"identity, chunked", b"chunked;q=1", b"xchunked", b"cow")
    }
    | {"in HTTP/1.0": post(b"Transfer-Encoding: chunked", body=CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0")},
    "Idempotency-Key": {"two keys": post(LENGTH, b"Idempotency-Key: a1", b"idempotency-key: a2")},
    "Content-Type": {"two types": post(LENGTH, b"Content-Type: text/plain")},
    "Content-Encoding": {"two codings": post(LENGTH, b"Content-Encoding: identity", b"Content-Encoding: gzip")},
    "Authorization": {"two keys": post(LENGTH, b"Authorization: Bearer a", b"Authorization: Bearer b")},
    "HTTP/1.1": {  # what the parser itself refuses
        **{
            name: post(*framing, body=CHUNKED)
            for name, framing in {
                "chunked twice": (b"Transfer-Encoding: chunked, chunked",),
                "chunked in two lines": (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
                "gzip in a second line": (b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"),
                "a vertical tab": (b"Transfer-Encoding: \x0bchunked",),
                "a space before the colon": (b"Transfer-Encoding : chunked",),
                "a length too": (b"Transfer-Encoding: chunked", LENGTH),
                "a length before": (LENGTH, b"Transfer-Encoding: chunked"),
                "no coding": (b"Transfer-Encoding: ", LENGTH),
                "identity": (b"Transfer-Encoding: identity", LENGTH),
            }.items()
        },
        "equal lengths": post(LENGTH, LENGTH),
        "a line feed alone": GET.replace(b"\r", b"") + b"Host: localhost\n\n",
        "no path": b"GET localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    },
    "target": {
        "a fragment": b"GET /heartbeat#x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "another scheme": b"GET ftp://localhost/heartbeat HTTP/1.1\r\nHost: localhost\r\n\r\n",
    },
    "CONNECT": {"a tunnel": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n"},
}


@pytest.mark.parametrize("named", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_refused_by_name_and_ends_the_connection(
    platform: Platform, named: str
) -> None:
    for kind, ambiguous in AMBIGUOUS[named].items():
        for upgrade in (b"", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"):
            asked = ambiguous.replace(b"\r\n", b"\r\n" + upgrade, 1)
            assert answered(platform.port, asked + LAST) == [400], kind
    said = platform.client.post("/submit", json=[REPORT])
    assert said.status_code == 202


def test_the_refusal_is_a_problem_that_says_what_to_send(platform: Platform) -> None:
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = httpx.post(f"{platform.url}/submit", json=[REPORT], headers=twice)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "The header Idempotency-Key is repeated 2 times; send it once."


PROPER = {
    "HTTP/1.0 without a host": (b"GET /heartbeat HTTP/1.0\r\n\r\n", [200]),
    "an absolute target": (b"GET http://localhost/heartbeat HTTP/1.1\r\nHost: localhost\r\n\r\n" + LAST, [200, 200]),
    "an absolute target, no path": (b"GET HTTP://LOCALHOST HTTP/1.1\r\nHost: localhost\r\n\r\n" + LAST, [307, 200]),
    "another spelling": (post(b"TRANSFER-ENCODING:\tCHUNKED", body=CHUNKED) + LAST, [202, 200]),
    "an IPv6 address": (GET + b"Host: [::1]:8081\r\n\r\n" + LAST, [200, 200]),
    "empty lines before": (b"\r\n\r\n" + LAST, [200]),
    "a hundred headers": (GET + b"Host: a.localhost\r\n" + b"X-Odd: 1\r\n" * 99 + b"\r\n" + LAST, [200, 200]),
    "lists in two lines": (GET + b"Host: localhost\r\nAccept: a/b\r\nAccept: */*\r\n\r\n" + LAST, [200, 200]),
}


@pytest.mark.parametrize("kind", PROPER)
def test_what_is_unusual_and_proper_is_answered(platform: Platform, kind: str) -> None:
    sent, expected = PROPER[kind]
    assert answered(platform.port, sent) == expected


async def slow_or_quick(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    await no_content(send)


SLOW = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_pipelined_requests_are_answered_in_their_order_and_a_refusal_comes_last() -> None:
    bad = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
    async with serving(slow_or_quick) as port:
        assert await heard(port, SLOW + LAST) == [204, 204]
        assert await heard(port, SLOW + SLOW + bad + LAST) == [204, 204, 400]
        assert await heard(port, SLOW, bad) == [204, 400]
        assert await heard(port, SLOW + b"no HTTP\r\n\r\n") == [204, 400]
        assert await heard(port, SLOW * 2 + LAST * 100) == [204, 204, 204], "nothing follows a connection's last answer"


async def test_so_many_requests_wait_for_an_answer_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handler.connection.PIPELINED", 4)
    async with serving(slow_or_quick) as port:
        assert await heard(port, SLOW + SLOW.replace(b"/slow", b"/") * 4 + LAST) == [204] * 5 + [400]


async def test_a_flood_behind_a_request_that_waits_ends_the_connection() -> None:
    async def wait(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(2)
        await no_content(send)

    async with serving(wait) as port:
        assert await heard(port, SLOW, SLOW * 20_000) == []
