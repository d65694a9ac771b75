"""Embedded servers of either kind, looked at alike: whether one answers, what it keeps, which processes run."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg2  # type: ignore[import-untyped]
import pytest
import redis

from devstack.embedded import Postgres, ServerProcess, start_postgres, start_valkey

Start = Callable[..., ServerProcess]
starts = pytest.mark.parametrize("start", [start_postgres, start_valkey])


def query(server: ServerProcess, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(server.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def answers(server: ServerProcess) -> bool:
    if isinstance(server, Postgres):
        return query(server, "SELECT 1") == [(1,)]
    with redis.Redis.from_url(server.url) as client:
        return bool(client.ping())


def keep(server: ServerProcess, note: str) -> None:
    if isinstance(server, Postgres):
        query(server, f"CREATE TABLE kept AS SELECT '{note}' AS note")
    else:
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            client.set("kept", note)


def kept(server: ServerProcess) -> object:
    if isinstance(server, Postgres):
        return query(server, "SELECT note FROM kept")[0][0]
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return client.get("kept")


def runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def another_run(start: Start, folder: Path) -> tuple[subprocess.Popen[str], dict[str, int]]:
    """Start the server in another process, which then waits; return it and the process ids of what it started."""
    code = (
        "import json, sys, time; from pathlib import Path; from devstack import embedded\n"
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
