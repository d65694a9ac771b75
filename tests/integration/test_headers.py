"""What answers tell browsers, which other origins get in, and when a body that does not come is given up."""

import re
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from handler.settings import HandlerSettings
from tests.conftest import NewClient
from tests.running import REPORT, Platform, handler

ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def strict(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A second handler of the shared platform, that lets one origin in and gives bodies a second."""
    urls = platform.environment
    settings = {"CORS_ORIGINS": ORIGIN, "BODY_TIMEOUT_SECONDS": "1"}
    with handler(urls["DATABASE_URL"], urls["REDIS_URL"], tmp_path_factory.mktemp("strict"), **settings) as strict:
        yield strict


def headers_of(answer: httpx.Response) -> tuple[str, str, str]:
    headers = answer.headers
    return headers["x-content-type-options"], headers["cache-control"], headers["content-security-policy"]


def test_every_answer_is_not_to_be_guessed_kept_framed_or_run(platform: Platform, new_client: NewClient) -> None:
    client, task = platform.client, platform.submit(REPORT)
    answers = [
        client.get(f"/task/{task}"),
        client.post("/submit", json=[REPORT]),
        client.post("/submit", json=[{}]),
        client.get("/task/0"),
        client.get("/tasks"),
        client.get("/nowhere"),
        client.get("/health/live"),
        client.get("/v2"),
        client.get("/openapi.json"),
        httpx.get(f"{new_client().base_url}/tasks"),
    ]
    assert {answer.status_code for answer in answers} == {200, 202, 401, 404, 422}
    for answer in answers:
        assert headers_of(answer) == ("nosniff", "no-store", "default-src 'none'; frame-ancestors 'none'"), answer.url
        assert "access-control-allow-origin" not in answer.headers


def test_the_page_of_documentation_may_run_its_own_scripts_and_nothing_else(platform: Platform) -> None:
    own = re.findall(r"<script>(.*?)</script>", platform.client.get("/docs").text, re.S)
    assert len(own) == 1
    policy = headers_of(platform.client.get("/docs"))[2]
    (scripts,) = re.findall(r"script-src ([^;]*);", policy)
    assert scripts == f"'self' 'sha256-{b64encode(sha256(own[0].encode()).digest()).decode()}'"
    assert "frame-ancestors 'none'" in policy
    script = platform.client.get("/swagger/swagger-ui-bundle.js")
    assert headers_of(script)[:2] == ("nosniff", "public, max-age=3600")


def test_no_other_origin_may_use_the_api_unless_it_is_named(platform: Platform, strict: Platform) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    assert platform.client.options("/submit", headers=asked).status_code == 405
    named, other = {"Origin": ORIGIN}, {"Origin": "https://evil.example.com"}
    assert strict.client.options("/submit", headers=asked).headers["access-control-allow-origin"] == ORIGIN
    assert strict.client.options("/submit", headers=asked | other).status_code == 400
    submitted = strict.client.post("/submit", json=[REPORT], headers=named)
    assert submitted.headers["access-control-allow-origin"] == ORIGIN
    assert "Location" in submitted.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in submitted.headers
    assert "access-control-allow-origin" not in strict.client.get("/tasks", headers=other).headers


@pytest.mark.parametrize("origins", ["*", "app.example.com", "https://a.example/", "https://a.example,*", "null"])
def test_only_origins_are_origins(origins: str) -> None:
    with pytest.raises(ValidationError):
        HandlerSettings(cors_origins=origins)


def test_a_body_that_does_not_come_is_given_up_and_its_connection_closed(strict: Platform) -> None:
    """By the handler alone, whatever stands before it; byte by byte is as late as not at all."""
    head = b"POST /submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
    start = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", strict.port)) as silent,
        socket.create_connection(("127.0.0.1", strict.port)) as slow,
    ):
        for connection in (silent, slow):
            connection.settimeout(60)
            connection.sendall(head)
        for _ in range(8):
            slow.sendall(b" ")
            time.sleep(0.1)
        for connection in (silent, slow):
            answer = b"".join(iter(partial(connection.recv, 4096), b""))  # until it is closed
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"urn:millrace:problem:body-too-slow" in answer
            assert b"nosniff" in answer
    assert time.monotonic() - start >= 1
    assert strict.client.post("/submit", json=[REPORT]).status_code == 202
    assert "Traceback" not in Path(strict.logs / "handler.log").read_text()
