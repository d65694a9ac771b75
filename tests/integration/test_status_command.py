"""`millrace status`, `tasks` and `task`, on the running platform."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from millrace_client.cli.main import main
from prometheus_client import CollectorRegistry, Gauge, start_http_server
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from tests.running import REPORT, Platform, eventually, free_port

MILLRACE = Path(sys.executable).parent / "millrace"


def millrace(database_url: str, *arguments: str, **settings: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"DATABASE_URL": database_url, "REDIS_URL": "", **settings})


def test_one_screen_tells_how_the_platform_is(platform: Platform) -> None:
    def shown() -> Result:
        return millrace(platform.database_url, "status", "--once")

    platform.finished(platform.submit(REPORT))
    eventually(lambda: "idle" in shown().output)  # the worker says so a moment after its answer
    done = shown()
    assert done.exit_code == 0, done.output
    for part in ("● PostgreSQL", "report_scorer", "translator", "idle", "tasks/s", "MiB"):
        assert part in done.output


def test_what_does_not_answer_is_said_and_is_the_exit_status(platform: Platform) -> None:
    done = millrace(platform.database_url, "status", "--once", REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    assert done.exit_code == 1
    assert "✗ Redis does not answer" in done.output
    nobody = f"postgresql://u:hush-hush@127.0.0.1:{free_port()}/d"
    done = millrace(nobody, "status", "--once")
    assert done.exit_code == 1
    assert "PostgreSQL does not answer" in done.output
    assert "hush-hush" not in done.output


@pytest.mark.parametrize(("ready", "silent", "well"), [(1, 5, True), (0, 5, False), (1, 90, False)])
def test_the_lights_of_pool_and_rescue_go_by_what_they_do(
    database_url: str, tmp_path: Path, ready: int, silent: float, well: bool
) -> None:
    """A page of metrics that answers says nothing of the processes that count there."""
    registry = CollectorRegistry()
    Gauge("millrace_worker_processes", "", ["state"], registry=registry).labels("ready").set(ready)
    Gauge("millrace_rescue_last_round_timestamp_seconds", "", registry=registry).set(time.time() - silent)
    server, _ = start_http_server(0, "127.0.0.1", registry)
    page = f"http://127.0.0.1:{server.server_port}/metrics"
    addresses = {"database_url": database_url, "redis_url": None, "services": {"model pool": page, "rescue": page}}
    (tmp_path / "addresses.json").write_text(json.dumps(addresses))
    environment = {**os.environ, "MILLRACE_FOLDER": str(tmp_path), "DATABASE_URL": "", "REDIS_URL": ""}
    try:
        done = subprocess.run(
            [MILLRACE, "status", "--once"], env=environment, capture_output=True, text=True, check=False
        )
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == (0 if well else 1), done.stdout + done.stderr
    assert ("● model pool" in done.stdout, "● rescue" in done.stdout) == (ready > 0, silent < 60)
    assert "Redis" not in done.stdout


def test_waiting_tasks_without_a_worker_and_failures_are_shown(engine: Engine, database_url: str) -> None:
    insert = text("""
        INSERT INTO tasks (id, model, n_inputs, status, priority, error, submitted_at, finished_at)
        VALUES (:id, 'report_scorer', 3, :status, 0, :error, now() - interval '61 s', now())
    """)
    failed = uuid7()
    with engine.begin() as connection:
        for task_id, status, error in ((uuid7(), "PENDING", None), (failed, "FAILURE", "KeyError: \x1b[2J'x'\nmore")):
            connection.execute(insert, {"id": task_id, "status": status, "error": error})
    done = millrace(database_url, "status", "--once")
    assert re.search(r"1 min \d", done.output)
    assert "no worker is ready" in done.output
    assert str(failed) in done.output
    assert "KeyError" in done.output
    assert "\x1b" not in done.output
    assert "more" not in done.output


def test_the_screen_refreshes_until_ctrl_c(platform: Platform) -> None:
    terminal, inside = pty.openpty()
    environment = {**os.environ, "DATABASE_URL": platform.database_url, "REDIS_URL": "", "TERM": "xterm"}
    process = subprocess.Popen(
        [MILLRACE, "status"], env=environment, stdin=inside, stdout=inside, start_new_session=True
    )
    shown = b""

    def drawn_twice() -> bool:
        nonlocal shown
        shown += os.read(terminal, 65536)
        return shown.count(b"PostgreSQL") >= 2

    eventually(drawn_twice)
    process.send_signal(2)
    assert process.wait(60) == 0
    os.close(terminal)
    os.close(inside)


def test_tasks_are_listed_by_what_is_asked_for(platform: Platform) -> None:
    task_id = platform.submit(REPORT)
    platform.finished(task_id)
    wanted = ["--status", "success", "--model", "report_scorer", "--since", "10m", "--limit", "3"]
    listed = millrace(platform.database_url, "tasks", *wanted)
    assert listed.exit_code == 0, listed.output
    assert task_id in listed.output.splitlines()[2]
    assert "\n3 tasks" in listed.output or "1 task;" in listed.output or "2 tasks" in listed.output
    header, first, *_ = millrace(platform.database_url, "tasks", *wanted, "--csv").output.splitlines()
    assert header.startswith("task_id,status,model")
    assert first.startswith(f"{task_id},SUCCESS,report_scorer")
    assert "failure" in millrace(platform.database_url, "tasks", "--status", "nonsense").output


def test_a_task_is_shown_with_its_inputs_and_what_came_of_them(platform: Platform) -> None:
    task_id = platform.submit(*[REPORT | {"report_id": f"r-{number}"} for number in range(12)])
    score = platform.finished(task_id)["score"]
    assert isinstance(score, list)
    shown = millrace(platform.database_url, "task", task_id)
    assert shown.exit_code == 0, shown.output
    for part in (task_id, "SUCCESS", "report_scorer 1.0.0", "r-9", str(score[0]), "… of 12 inputs"):
        assert part in shown.output
    assert "r-10" not in shown.output
    assert "r-11" in millrace(platform.database_url, "task", task_id, "--inputs", "12").output


def test_a_task_that_waits_is_shown_with_what_was_sent(engine: Engine, database_url: str) -> None:
    task_id = uuid7()
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO tasks (id, model, n_inputs) VALUES (:id, 'report_scorer', 1)"), {"id": task_id}
        )
        payload = json.dumps([REPORT | {"report_id": "x" * 500}]).encode()
        connection.execute(
            text("INSERT INTO task_inputs (task_id, payload) VALUES (:id, :payload)"),
            {"id": task_id, "payload": payload},
        )
        url = "https://receiver.example/hook?token=of-the-receiver"
        connection.execute(text("INSERT INTO webhooks (task_id, url) VALUES (:id, :url)"), {"id": task_id, "url": url})
    shown = millrace(database_url, "task", str(task_id)).output
    assert "PENDING" in shown
    assert "MSG" in shown
    assert "xxx…" in shown
    assert "receiver.example: waits" in shown
    assert "of-the-receiver" not in shown


@pytest.mark.parametrize("arguments", [["task", "01a1fbff-6bc2-77a0-9580-9b6d17fbabd4"], ["task", "x"]])
def test_a_task_that_is_not_there_is_said(database_url: str, arguments: list[str]) -> None:
    done = millrace(database_url, *arguments)
    assert done.exit_code != 0
    assert "no task" in done.output or "not a valid UUID" in done.output


def test_the_commands_are_on_the_list() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    assert {"status", "tasks", "task"} <= {line.split()[0] for line in shown.splitlines() if line.strip()}
