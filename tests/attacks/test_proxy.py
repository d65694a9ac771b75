"""deploy/proxy/nginx.conf, run as it is but for addresses, certificate and patience, holds off what uvicorn lets in.

Skipped where nginx is not installed (apt install nginx-light).
"""

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import trustme

from tests.attacks.raw import BODY, post, statuses
from tests.running import REPORT, ROOT, Platform, eventually, free_port, handler, temporary_open_folder

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
CONF = (ROOT / "deploy" / "proxy" / "nginx.conf").read_text(encoding="utf-8")
NAME = "scores.example.com"

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture(scope="module")
def connect(platform: Platform) -> Iterator[Callable[[], ssl.SSLSocket]]:
    """Start nginx before the shared platform."""
    with proxy(platform.port) as connect:
        yield connect


@contextmanager
def proxy(behind: int, patience: str = "1s") -> Iterator[Callable[[], ssl.SSLSocket]]:
    """Start nginx before the handler at this port, with so much patience, and return what opens connections to it."""
    authority, port = trustme.CA(), free_port()
    with temporary_open_folder() as folder:
        authority.issue_cert(NAME).private_key_and_cert_chain_pem.write_to_path(str(folder / "tls.pem"))
        conf = CONF
        for written, here in (
            (r"listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
            (r"listen \[::\]:443 ssl;", ""),  # not every machine has IPv6
            (r"127\.0\.0\.1:8081", f"127.0.0.1:{behind}"),
            (r"/etc/nginx/tls/\w+\.pem", str(folder / "tls.pem")),
            (r"(client_\w+_timeout) 10s", rf"\1 {patience}"),
            (r"worker_processes auto", "worker_processes 1"),
        ):
            conf, times = re.subn(written, here, conf)
            assert times
        paths = "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        conf = conf.replace("http {", f"http {{\n{paths}", 1)
        (folder / "nginx.conf").write_text(f"daemon off; pid {folder}/pid; error_log {folder}/log;\n{conf}")
        process = subprocess.Popen([str(NGINX), "-p", str(folder), "-c", "nginx.conf", "-e", str(folder / "log")])
        trust = ssl.create_default_context()
        authority.configure_trust(trust)

        def connect() -> ssl.SSLSocket:
            return trust.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10), server_hostname=NAME)

        def listens() -> bool:
            with suppress(OSError):
                connect().close()
                return True
            return False

        try:
            eventually(listens)
            yield connect
        finally:
            process.terminate()
            process.wait(10)


def heard(connection: ssl.SSLSocket) -> bytes:
    """Return what comes until the server hangs up."""
    said = b""
    with suppress(OSError):
        while part := connection.recv(65536):
            said += part
    connection.close()
    return said


def test_through_the_proxy_all_is_well_and_hsts_is_promised(connect: Callable[[], ssl.SSLSocket]) -> None:
    connection = connect()
    connection.sendall(post(b"Content-Length: %d" % len(BODY), b"Connection: close"))
    said = heard(connection)
    assert statuses(said) == [202]
    assert b"strict-transport-security: max-age=31536000" in said.lower()
    assert b"x-content-type-options: nosniff" in said.lower()


def test_slow_heads_and_bodies_are_ended_and_never_reach_the_handler(
    connect: Callable[[], ssl.SSLSocket], platform: Platform
) -> None:
    head, body, dripping = connect(), connect(), connect()
    head.sendall(b"POST /submit HTTP/1.1\r\nHost: localhost\r\n")
    body.sendall(post(b"Content-Length: 5000", body=b"["))
    dripping.sendall(b"GET /tasks HTTP/1.1\r\n")
    for _ in range(8):  # whose whole head is late, however busy it is
        time.sleep(0.2)
        with suppress(OSError):
            dripping.sendall(b"X-Slow: 1\r\n")
    for connection in (head, body, dripping):
        assert statuses(heard(connection)) in ([], [408])
    assert platform.client.post("/submit", json=[REPORT]).status_code == 202


@pytest.mark.parametrize(
    ("request_of", "status"),
    [
        (lambda: post(b"Content-Length: 9000000", body=b""), 413),
        (lambda: post(b"Content-Length: 2", b"X-Long: " + b"a" * 2**16, body=b"[]"), 400),
        (lambda: post(b"Content-Length: 2", *[b"X-%d: %s" % (n, b"a" * 90) for n in range(1000)], body=b"[]"), 400),
        (lambda: b"GET /" + b"a" * 2**16 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (lambda: post(b"Content-Length: 2", b"Content-Length: 3", body=b"[]"), 400),
        (lambda: post(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"2\r\n[]\r\n0\r\n\r\n"), 400),
        (lambda: b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
    ],
    ids=["large body", "long header", "many headers", "long path", "two lengths", "length and chunks", "metrics"],
)
def test_what_is_too_large_or_ambiguous_goes_no_further(
    connect: Callable[[], ssl.SSLSocket], request_of: Callable[[], bytes], status: int
) -> None:
    connection = connect()
    with suppress(OSError):
        connection.sendall(request_of())
    assert statuses(connection.recv(65536)) == [status]
    connection.close()


def test_what_a_client_says_of_its_own_address_counts_for_nothing(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    urls, logs = platform.environment, tmp_path_factory.mktemp("limited")
    with (
        handler(urls["DATABASE_URL"], urls["REDIS_URL"], logs, RATE_LIMIT="3/hour") as limited,
        proxy(limited.port) as connect,
    ):
        found = []
        for number in range(5):
            connection = connect()
            said = (b"X-Forwarded-For: 10.0.0.%d" % number, b"Forwarded: for=10.0.0.%d" % number)
            connection.sendall(post(b"Content-Length: %d" % len(BODY), b"Connection: close", *said))
            found += statuses(heard(connection))
    assert found == [202, 202, 202, 429, 429]


def test_an_address_has_so_many_requests_under_way_and_no_more(platform: Platform) -> None:
    answers: dict[ssl.SSLSocket, bytes] = {}

    def refused() -> list[bytes]:
        for connection in answers:
            with suppress(ssl.SSLWantReadError):
                answers[connection] += connection.recv(65536)
        return [answer for answer in answers.values() if answer]

    with proxy(platform.port, patience="60s") as connect:  # a busy machine is longer than 1 s over 70 handshakes
        for _ in range(70):
            connection = connect()
            connection.sendall(post(b"Content-Length: 5000", body=b"["))
            connection.setblocking(False)
            answers[connection] = b""
        eventually(lambda: len(refused()) >= 70 - 64)
        assert [statuses(answer) for answer in refused()] == [[429]] * (70 - 64)
        for connection in answers:
            connection.close()
