"""However an embedded server, its run, or its start ends, nothing is lost and nothing stays behind."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2  # type: ignore[import-untyped]
import pytest

from devstack import tether
from devstack.embedded import Postgres, ServerProcess, start_postgres, start_valkey
from devstack.errors import AlreadyRunning, StartFailed
from tests.embedded import Start, another_run, answers, keep, kept, runs, starts, wait_until


@starts
def test_a_crashed_server_starts_again_at_the_same_url(start: Start, started: Callable[..., ServerProcess]) -> None:
    first = started(start)
    assert answers(first)
    first.process.kill()
    first.process.wait()
    first.stop()
    second = started(start, port=first.port)
    assert second.url == first.url
    assert answers(second)


def test_a_commit_survives_a_crash_while_clients_are_connected(started: Callable[..., ServerProcess]) -> None:
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


@starts
def test_a_server_left_by_a_killed_run_is_replaced(
    start: Start, open_folder: Path, started: Callable[..., ServerProcess]
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
    open_folder: Path, started: Callable[..., ServerProcess]
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


def test_two_runs_do_not_share_a_folder(running: ServerProcess) -> None:
    with pytest.raises(AlreadyRunning):
        (start_postgres if isinstance(running, Postgres) else start_valkey)(running.folder)
    assert answers(running)


def test_a_folder_is_free_while_a_child_of_another_thread_still_holds_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tether, "TAKE_SECONDS", 60)  # a busy machine starts `sleep` late
    lock = tether.take(tmp_path)
    with subprocess.Popen(["sleep", "0.2"], pass_fds=[lock.fileno()]):  # noqa: S607
        lock.close()
        tether.take(tmp_path).close()


def test_the_terminals_interrupt_does_not_reach_it(running: ServerProcess) -> None:
    assert os.getsid(running.process.pid) != os.getsid(0)
    assert os.getsid(running.guardian.pid) != os.getsid(0)


@starts
def test_stopping_is_orderly_and_harmless_twice(start: Start, started: Callable[..., ServerProcess]) -> None:
    server = started(start)
    server.stop()
    server.stop()
    assert server.process.returncode == 0
    assert not runs(server.guardian.pid)


def test_stopping_does_not_wait_for_clients(started: Callable[..., ServerProcess]) -> None:
    server = started(start_postgres)
    with closing(psycopg2.connect(server.url)):
        server.stop()
        assert server.process.returncode == 0, "it was killed, as it waited"


def test_a_failed_start_says_what_the_log_says_and_frees_the_folder(started: Callable[..., ServerProcess]) -> None:
    server = started(start_postgres)
    server.stop()
    version = server.folder / "data" / "PG_VERSION"
    right = version.read_text()
    version.write_text("9.6\n")
    with pytest.raises(StartFailed, match="incompatible"):
        started(start_postgres)
    version.write_text(right)
    assert answers(started(start_postgres))


def test_a_first_start_killed_half_way_is_begun_again(open_folder: Path, started: Callable[..., ServerProcess]) -> None:
    (open_folder / "server" / "data.unfinished").mkdir(parents=True)
    (open_folder / "server" / "data.unfinished" / "PG_VERSION").write_text("18\n")
    assert answers(started(start_postgres))
