"""The embedded servers start, keep their data, port and secrets, and are what the programs need."""

import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg2  # type: ignore[import-untyped]
import pytest
import redis

from devstack.embedded import Postgres, ServerProcess, start_postgres, start_valkey
from devstack.errors import PortTaken
from tests.embedded import Start, answers, keep, kept, query, starts


@starts
def test_a_second_start_finds_the_data_and_the_port_again(start: Start, started: Callable[..., ServerProcess]) -> None:
    first = started(start)
    keep(first, "still here")
    first.stop()
    second = started(start)
    assert second.url == first.url
    assert kept(second) == "still here"


def test_it_listens_on_loopback_only(running: ServerProcess) -> None:
    process = psutil.Process(running.process.pid)
    listening = [connection for connection in process.net_connections("all") if connection.status == "LISTEN"]
    assert [connection.laddr.ip for connection in listening] == ["127.0.0.1"]
    assert [connection for connection in process.net_connections("unix") if connection.laddr] == []


def test_a_wrong_password_is_refused(running: ServerProcess) -> None:
    password = (running.folder / "password").read_text()
    for wrong in (running.url.replace(password, "wrong"), running.url.replace(f":{password}@", "@")):
        if isinstance(running, Postgres):
            with pytest.raises(psycopg2.OperationalError, match="password"):
                psycopg2.connect(wrong, passfile="/nonexistent")
        else:
            with redis.Redis.from_url(wrong) as client, pytest.raises(redis.AuthenticationError):
                client.ping()


def test_the_password_is_in_no_command_line_and_no_log(running: ServerProcess) -> None:
    password = running.folder / "password"
    assert password.stat().st_mode & 0o777 == 0o600
    assert running.folder.stat().st_mode & 0o777 == 0o700
    for process in psutil.process_iter(["cmdline"]):
        assert password.read_text() not in " ".join(process.info["cmdline"] or [])
    assert password.read_text() not in running.log.path.read_text()
    assert password.read_text() not in repr(running)


@starts
def test_two_checkouts_run_side_by_side(start: Start, open_folder: Path, started: Callable[..., ServerProcess]) -> None:
    one, other = (started(start, open_folder / name) for name in ("one", "other"))
    assert one.port != other.port
    assert answers(one)
    assert answers(other)


@starts
def test_a_port_taken_by_another_program_is_left_to_it(start: Start, started: Callable[..., ServerProcess]) -> None:
    first = started(start)
    first.stop()
    with socket.create_server(("127.0.0.1", first.port)):
        with pytest.raises(PortTaken):
            started(start, port=first.port)
        second = started(start)
        assert second.port != first.port
        assert answers(second)


@starts
@pytest.mark.parametrize("name", ['with a space, "quotes" and a \\', "/".join(["a" * 200] * 3)], ids=["odd", "long"])
def test_any_path_will_do(start: Start, name: str, open_folder: Path, started: Callable[..., ServerProcess]) -> None:
    server = started(start, open_folder / name)
    assert server.folder == open_folder / name
    assert answers(server)


def test_postgres_is_durable_and_speaks_utf_8_and_utc(started: Callable[..., ServerProcess]) -> None:
    server = started(start_postgres)
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert query(server, f"SHOW {setting}") == [("on",)]
    assert query(server, "SHOW timezone") == [("UTC",)]
    assert query(server, "SHOW server_encoding") == [("UTF8",)]
    assert query(server, "SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = 'millrace'") == [
        ("b", "C.UTF-8")
    ]
    assert query(server, "SELECT upper('é')") == [("É",)]


def test_postgres_brings_psql_and_statement_statistics(started: Callable[..., ServerProcess]) -> None:
    server = started(start_postgres)
    assert isinstance(server, Postgres)
    query(server, "CREATE EXTENSION pg_stat_statements")
    said = subprocess.run(
        [server.psql, server.url, "-Atc", "SELECT count(*) > 0 FROM pg_stat_statements"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "t\n"


def test_valkey_refuses_writes_rather_than_evicting_messages(started: Callable[..., ServerProcess]) -> None:
    """What ends by itself, the score cache, makes room; then it is full."""
    with redis.Redis.from_url(started(start_valkey).url, decode_responses=True) as client:
        for number in range(100):
            client.set(f"cache:{number}", "x" * 10_000, ex=3600)
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 100_000)
        pushed = 0
        with suppress(redis.exceptions.OutOfMemoryError):
            while pushed < 1_000:
                client.lpush("score.report_scorer", "m" * 10_000)
                pushed += 1
        assert pushed < 1_000, "it refuses"
        assert pushed > 50, "the cache has made room"
        assert client.llen("score.report_scorer") == pushed
        assert not client.keys("cache:*")
