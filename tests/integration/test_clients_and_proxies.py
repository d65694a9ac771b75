"""What monitors, proxies and clients rely on: HEAD, connections that stay open, IPv6, and a place that is freed."""

import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from handler.auth.authentication import _network
from handler.settings import HandlerSettings
from tests.attacks.raw import answered, statuses
from tests.running import REPORT, Platform, answers, eventually, handler
from tests.scraping import sample

GETS = [
    *("/", "/heartbeat", "/health/live", "/health/ready", "/docs", "/openapi.json", "/swagger/swagger-ui.css"),
    *(
        "/tasks",
        "/tasks?limit=0",
        "/models",
        "/models/report_scorer",
        "/models/none",
        "/workers",
        "/nowhere",
        "/task/0",
    ),
    *("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/report_scorer", "/v2/models/report_scorer/ready"),
]


def test_head_is_answered_as_get_without_the_body(platform: Platform) -> None:
    task = platform.submit(REPORT)
    platform.finished(task)
    for path in (*GETS, f"/task/{task}"):
        got, head = platform.client.get(path), platform.client.head(path)
        assert head.status_code == got.status_code, path
        assert head.content == b""
        assert head.headers["content-type"] == got.headers["content-type"] if "content-type" in got.headers else True
        assert head.headers.get("content-length") == got.headers.get("content-length"), path
    refused = platform.client.head("/submit")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert platform.client.delete("/heartbeat").headers["allow"] == "GET, HEAD"


def test_a_client_that_hangs_up_while_it_waits_frees_its_place(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Also one that has asked for more on the same connection, and one that waits for what it has just submitted."""
    with handler(database_url, redis_url, tmp_path, PREDICT_WAIT_SECONDS="60", ANSWER_WAIT_SECONDS="60") as alone:
        task = f"GET /task/{alone.submit(REPORT)} HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=60\r\n\r\n".encode()
        body = b'{"text": "The goalie made 40 saves."}'
        label = b"POST /prediction HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        asked = [task, task * 3, label + b"Content-Length: %d\r\n\r\n" % len(body) + body]
        with ExitStack() as opened:
            for one in asked * 20:
                opened.enter_context(socket.create_connection(("127.0.0.1", alone.port))).sendall(one)
            eventually(lambda: in_flight(alone) == 60)
        eventually(lambda: in_flight(alone) == 0, within=40)  # they wait for 60 s
    assert "Traceback" not in (tmp_path / "handler.log").read_text()


def in_flight(alone: Platform) -> float:
    return sample(alone, "handler", "millrace_http_requests_in_flight")


def test_an_idle_connection_outlives_that_of_a_proxy(platform: Platform) -> None:
    """nginx keeps connections to its upstreams for 60 s, uvicorn by itself for 5."""
    assert HandlerSettings().keep_alive_seconds > 60
    with socket.create_connection(("127.0.0.1", platform.port), timeout=60) as connection:
        for pause in (0, 7):
            time.sleep(pause)
            connection.sendall(b"GET /heartbeat HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert statuses(connection.recv(65536)) == [200]


def test_an_idle_connection_ends(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with handler(database_url, redis_url, tmp_path, KEEP_ALIVE_SECONDS="1") as alone:
        assert answered(alone.port, b"GET /heartbeat HTTP/1.1\r\nHost: localhost\r\n\r\n") == [200]


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe, suppress(OSError):
        probe.bind(("::1", 0))
        return True
    return False


@pytest.mark.skipif(not socket.has_ipv6 or not has_ipv6(), reason="this machine has no IPv6")
def test_a_handler_listens_on_ipv6(database_url: str, redis_url: str, tmp_path: Path) -> None:
    alone = Platform(database_url, redis_url, tmp_path, UVICORN_HOST="::1", RATE_LIMIT="3/hour")
    program = alone.start_handler()
    try:
        with httpx.Client(base_url=f"http://[::1]:{alone.port}", timeout=60) as client:
            eventually(lambda: answers(client))
            assert [client.post("/submit", json=[REPORT]).status_code for _ in range(4)] == [202, 202, 202, 429]
            origin = {"Origin": f"http://[::1]:{alone.port}"}
            assert client.post("/submit", json=[REPORT], headers=origin).status_code == 429, "its own page may post"
    finally:
        program.stop()


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:0:0:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("a:b", "a:b"),
    ],
)
def test_an_ipv6_network_counts_as_one_client(address: str, counted: str) -> None:
    assert _network(address) == counted
