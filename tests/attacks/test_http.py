"""Requests that are no proper HTTP, or hide a second one: refused, and never two where a proxy would see one."""

import asyncio
import http.client
import socket
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
import uvicorn

from handler.connection import Connection
from handler.lingering import MAX_SECONDS
from tests.attacks.raw import BODY, post, statuses, told
from tests.running import REPORT, Platform, free_port

LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
SECONDS = 60
"""Until a test gives up what it waits for."""

JSON = {"Content-Type": "application/json"}
HIDDEN = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


def stored(platform: Platform) -> int:
    return len(platform.client.get("/tasks", params={"limit": 1000}).json()["tasks"])


def log_since(platform: Platform, begin: int) -> str:
    return (platform.logs / "handler.log").read_bytes()[begin:].decode(errors="replace")


PROPER = {
    "a length": post(LENGTH),
    "chunks": post(b"Transfer-Encoding: chunked", body=CHUNKED),
    "two requests": post(LENGTH) + HIDDEN,
}
"""These are answered, so what hears of no answer below is not deaf."""

SMUGGLED = {
    "two lengths": post(LENGTH, b"Content-Length: 0"),
    "two lengths, the shorter one first": post(b"Content-Length: 5", LENGTH),
    "a length and chunks": post(LENGTH, b"Transfer-Encoding: chunked", body=CHUNKED),
    "chunks and a length": post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=CHUNKED + HIDDEN),
    "a length with a sign": post(b"Content-Length: +%d" % len(BODY)),
    "a negative length": post(b"Content-Length: -1"),
    "a length in hexadecimal": post(b"Content-Length: 0x10"),
    "a length of 40 digits": post(b"Content-Length: " + b"9" * 40),
    "a list of lengths": post(b"Content-Length: %d, %d" % (len(BODY), len(BODY))),
    "a space before the colon": post(b"Content-Length : %d" % len(BODY)),
    "an unknown coding": post(b"Transfer-Encoding: cow", body=CHUNKED),
    "chunks said twice": post(b"Transfer-Encoding: chunked, cow", body=CHUNKED),
    "a chunk of a negative size": post(b"Transfer-Encoding: chunked", body=b"-1\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk of a huge size": post(b"Transfer-Encoding: chunked", body=b"f" * 17 + b"\r\n" + BODY),
    "a line in two": post(LENGTH, b"X-Odd: a\r\n b"),
    "a NUL in a header": post(LENGTH, b"X-Odd: a\0b"),
    "a carriage return in a header": post(LENGTH, b"X-Odd: a\rContent-Length: 0"),
    "a header without a name": post(LENGTH, b": nothing"),
    "no HTTP": b"hello\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "a path of 1 MB": b"GET /" + b"a" * 2**20 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


def test_an_improper_request_is_answered_once_at_most_and_the_handler_goes_on(platform: Platform) -> None:
    begin, before = (platform.logs / "handler.log").stat().st_size, stored(platform)
    heard = {kind: statuses(said) for kind, said in told(platform.port, SMUGGLED | PROPER).items()}
    assert [heard.pop(kind) for kind in PROPER] == [[202], [202], [202, 200]]
    twice = {kind: said for kind, said in heard.items() if len(said) > 1}
    assert twice == {}, "somebody in front, who saw one request, would give the second answer to somebody else"
    taken = {kind for kind, said in heard.items() if said not in ([], [400], [422], [404], [408], [413], [431])}
    assert taken == set()
    assert stored(platform) == before + len(PROPER)
    assert platform.client.get("/health/live").status_code == 200
    assert "Traceback" not in log_since(platform, begin)


def test_a_request_within_a_body_stays_a_body(platform: Platform) -> None:
    body = BODY + b"\r\n\r\n" + HIDDEN
    heard = told(platform.port, {"hidden": post(b"Content-Length: %d" % len(body), body=body)})
    assert statuses(heard["hidden"]) == [422]


INJECTED = [b"a\r\nSet-Cookie: stolen=1", b"a\nX-Injected: 1", b"%0d%0aX-Injected:%201", b"\xc3\xa9", b"a\0b"]


def test_nothing_that_is_sent_becomes_a_header_of_the_answer(platform: Platform) -> None:
    requests = {}
    for value in INJECTED:
        for start, end in (
            (b"GET /task/", b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            (b"GET /", b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            (b"GET / HTTP/1.1\r\nHost: x", b"\r\n\r\n"),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: ", b"\r\n\r\n"),
            (b"GET /task/0 HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=", b"\r\n\r\n"),
            (b"POST /submit HTTP/1.1\r\nHost: localhost\r\n" + LENGTH + b"\r\nIdempotency-Key: ", b"\r\n\r\n" + BODY),
        ):
            requests[repr(start + value)] = start + value + end
    heard = told(platform.port, requests)
    assert sum(map(bool, heard.values())) > len(requests) / 2
    for request, said in heard.items():
        head = said.partition(b"\r\n\r\n")[0].lower()
        assert b"set-cookie" not in head, request
        assert b"\nx-injected" not in head, request


PATHS = [
    b"/../../etc/passwd",
    b"/swagger/../../../../etc/passwd",
    b"/swagger/..%2f..%2f..%2fetc%2fpasswd",
    b"/swagger//etc/passwd",
    b"/models/..%2f..%2fstore/submit",
    b"/models/report_scorer%00/submit",
    b"//evil.example.com/tasks",
    b"/task/..%2f..%2fhealth%2flive",
    b"/.env",
    b"/.git/config",
    b"/tasks/%252e%252e/",
]


def test_a_path_leads_to_an_endpoint_or_nowhere(platform: Platform) -> None:
    gets = {f"GET {path!r}": b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n" for path in PATHS}
    posts = {f"POST {path!r}": post(LENGTH, path=path) for path in PATHS}
    for request, said in told(platform.port, gets | posts).items():
        (status,) = statuses(said)
        assert status in (400, 404, 405, 422), request
        assert b"root:" not in said, request


def test_a_redirect_leads_to_the_documentation_only(platform: Platform) -> None:
    answer = platform.client.get("/", follow_redirects=False)
    assert httpx.URL(answer.headers["location"]).path == "/docs"


def test_a_host_that_is_a_script_does_not_run(closed: Platform) -> None:
    """The page of documentation is made of the Host header; with AUTH=required, it is there for every host."""
    asked = b'GET /docs HTTP/1.1\r\nHost: x"></script><script>alert(1)</script>\r\n\r\n'
    head, _, page = told(closed.port, {"docs": asked})["docs"].partition(b"\r\n\r\n")
    assert b"script-src 'self' 'sha256-" in head
    assert b"swagger-ui" in page
    assert b"alert(1)" not in page


def test_a_head_without_an_end_is_refused_before_it_is_large(platform: Platform) -> None:
    heads = {
        "a header of 1 MB": post(LENGTH, b"X-Long: " + b"a" * 2**20),
        "20,000 headers": post(LENGTH, *[b"X-%d: 1" % n for n in range(20_000)]),
    }
    endless = {"endless": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 2**20}
    for kind, said in told(platform.port, heads | endless).items():
        assert statuses(said) in ([400], []), (
            kind
        )  # nothing, where the connection was closed upon what was still coming


def test_an_endless_head_ends_its_connection_before_its_time_is_over(platform: Platform) -> None:
    with socket.create_connection(("127.0.0.1", platform.port), timeout=SECONDS) as connection:
        with suppress(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 2**17)
        with suppress(ConnectionError):  # a reset, as it had more to read; a timeout would be none
            while connection.recv(65536):
                pass


def test_connections_that_say_nothing_keep_nobody_waiting(platform: Platform) -> None:
    held = [socket.create_connection(("127.0.0.1", platform.port)) for _ in range(200)]
    try:
        for number, connection in enumerate(held):
            connection.sendall([b"", b"G", b"POST /submit HTTP/1.1\r\nX-Slow: "][number % 3])
        assert platform.finished(platform.submit(REPORT))["status"] == "SUCCESS"
    finally:
        for connection in held:
            connection.close()


@asynccontextmanager
async def serving(answer: Any) -> AsyncIterator[int]:
    """Serve an application of the test's own, in this process, and give its port."""
    async with running(answer) as server:
        yield server.config.port


@asynccontextmanager
async def running(answer: Any) -> AsyncIterator[uvicorn.Server]:
    config = uvicorn.Config(answer, port=free_port(), http=Connection, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serves = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells by this alone
        await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        await serves


async def heard(port: int, *pieces: bytes, apart: float = 0.1) -> list[int]:
    """Send the pieces, wait until the connection is closed, and return the statuses that came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b""
    with suppress(ConnectionError):  # it was closed while there was more to send
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(apart)
        said = await asyncio.wait_for(reader.read(), SECONDS)
    writer.close()
    return statuses(said)


async def no_content(send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


WHOLE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_a_head_that_does_not_come_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a server of its own, with less patience: silent from the start, half-way, and after a first request."""
    monkeypatch.setattr("handler.connection.HEAD_TIMEOUT", 0.5)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.7)  # however long that takes, patience is with the head alone
        await no_content(send)

    dripping = [b"GET / HTTP/1.1\r\n", *[b"X-Slow: 1\r\n"] * 9]
    async with serving(answer) as port:
        found = await asyncio.gather(
            heard(port), heard(port, b"G"), heard(port, *dripping), heard(port, WHOLE, b"GET / HT")
        )
    assert found == [[], [], [], [204]]


async def test_a_request_is_whole_whatever_body_came_with_the_begin_of_its_head() -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await no_content(send)

    large = post(b"Content-Length: 70000", body=b"x" * 70_000)
    last = b"GET / HTTP/1.1\r\nConnection: close\r\n"
    async with serving(answer) as port:
        assert await heard(port, large + last, b"Host: x\r\n\r\n") == [204, 204]
        half = large[:20]  # and where the first head is in two pieces itself
        assert await heard(port, half, large[20:] + last, b"Host: x\r\n\r\n") == [204, 204]


async def test_what_begins_no_head_holds_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty lines behind an answer, or the rest of a body that was answered early: keep-alive is over with them."""
    monkeypatch.setattr("handler.connection.HEAD_TIMEOUT", 2)  # longer than a busy machine holds up a piece

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await no_content(send)  # whatever body there is

    half = post(b"Content-Length: 1000", body=b"x" * 500)
    async with serving(answer) as port:
        found = await asyncio.gather(
            heard(port, WHOLE, b"\r\n"),
            heard(port, half, *[b"x"] * 3),
            heard(port, half, b"x" * 500 + WHOLE, WHOLE.replace(b"Host", b"Connection: close\r\nHost")),
        )
    assert found == [[204], [204], [204, 204, 204]]


@pytest.mark.parametrize("megabytes", [9, 40])
def test_a_client_that_closes_reads_that_its_body_is_too_large(platform: Platform, megabytes: int) -> None:
    """urllib asks for the close, and reads nothing until all is sent: a reset would take the answer from it."""
    for _ in range(3):
        asked = urllib.request.Request(f"{platform.url}/submit", bytes(megabytes * 10**6), JSON)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=60)
        assert (refused.value.code, b"body-too-large" in refused.value.read()) == (413, True)
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=60)
    connection.request("POST", "/submit", (bytes(10**6) for _ in range(megabytes)), {"Connection": "close", **JSON})
    assert connection.getresponse().status == 413
    connection.close()


CLOSING = post(b"Content-Length: 1000000000", b"Connection: close", body=b"")


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 413, "headers": []})
    await send({"type": "http.response.body"})


async def read_until_closed(writer: asyncio.StreamWriter, pause: float = 0) -> int:
    """Send until the other side does not take more, and return how many bytes it has taken."""
    sent = 0
    with suppress(ConnectionError):
        while True:
            writer.write(bytes(65_536))
            await writer.drain()
            sent += 65_536
            await asyncio.sleep(pause)
    return sent


async def test_what_comes_behind_an_early_answer_is_dropped_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handler.lingering.MAX_BYTES", 4 * 2**20)
    async with serving(refuse) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CLOSING)
        assert statuses(await asyncio.wait_for(reader.read(), SECONDS)) == [413], "the answer ends while the body comes"
        sent = await asyncio.wait_for(read_until_closed(writer), SECONDS)
        writer.close()
    assert 4 * 2**20 <= sent < 32 * 2**20, "the kernel's buffers hold some of it"


@pytest.mark.parametrize(("bound", "is_silent"), [("MAX_SECONDS", False), ("SILENCE", True)])
async def test_what_comes_behind_an_early_answer_is_awaited_for_seconds(
    monkeypatch: pytest.MonkeyPatch, bound: str, is_silent: bool
) -> None:
    for name in ("MAX_SECONDS", "SILENCE"):  # the other bound ends nothing here
        monkeypatch.setattr(f"handler.lingering.{name}", 0.5 if name == bound else 10 * SECONDS)
    async with running(refuse) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.config.port)
        start = time.monotonic()
        writer.write(CLOSING)
        assert statuses(await asyncio.wait_for(reader.read(), SECONDS)) == [413]
        async with asyncio.timeout(SECONDS):
            while is_silent and server.server_state.connections:  # noqa: ASYNC110 - uvicorn tells nobody of its end
                await asyncio.sleep(0.05)
        await asyncio.wait_for(read_until_closed(writer, 0.05), SECONDS)
        assert time.monotonic() - start >= 0.5
        writer.close()


async def test_a_server_that_stops_does_not_wait_for_what_comes_behind_an_early_answer() -> None:
    async with serving(refuse) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CLOSING)
        assert statuses(await asyncio.wait_for(reader.read(), SECONDS)) == [413]
        sending = asyncio.create_task(read_until_closed(writer, 0.05))
        await asyncio.sleep(0.2)
        start = time.monotonic()
    assert time.monotonic() - start < MAX_SECONDS / 2
    await asyncio.wait_for(sending, SECONDS)
    writer.close()
