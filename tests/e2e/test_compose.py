"""docker-compose.yml as somebody would use it: built, started, used, scaled, broken, restarted, taken down.

It has a project name, ports, volume and passwords of its own, so a stack that runs on this machine is not disturbed.
Needs a Docker engine: `make test-compose`.
"""

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.running import REPORT, ROOT, eventually
from tests.stack import LASTING, OURS, PASSWORDS, Stack, compose_command, run

pytestmark = pytest.mark.compose


def test_the_file_is_clean_and_every_container_becomes_healthy(stack: Stack) -> None:
    complaints = subprocess.run(
        [*compose_command(), "--env-file=.env.example", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True
    )
    assert (complaints.returncode, complaints.stdout, complaints.stderr) == (0, "", "")

    def states() -> list[str]:
        return [container["State"]["Health"]["Status"] for container in stack.containers(*LASTING)]

    eventually(lambda: states() == ["healthy"] * len(LASTING), within=90, every=1)
    assert stack.containers("migrate")[0]["State"]["ExitCode"] == 0


def test_a_batch_is_scored_and_lies_in_typed_columns(stack: Stack) -> None:
    task_id = stack.submit([REPORT | {"popularity": n % 6, "report_id": f"r-{n}"} for n in range(50)])
    task = stack.finished(task_id)
    assert task["status"] == "SUCCESS"
    rows = f"FROM report_scores WHERE task_id = '{task_id}'"
    assert json.loads(stack.psql(f"SELECT json_agg(score ORDER BY position) {rows}")) == task["score"]
    assert json.loads(stack.psql(f"SELECT json_agg(report_id ORDER BY position) {rows}")) == task["report_id"]
    types = "pg_typeof(abuse_type), pg_typeof(profile_rating), pg_typeof(popularity), pg_typeof(score)"
    assert stack.psql(f"SELECT DISTINCT {types} {rows}") == "text|double precision|integer|double precision"


def test_flower_asks_for_its_password_and_shows_the_worker(stack: Stack) -> None:
    address = f"http://127.0.0.1:{stack.flower_port}"
    (worker,) = stack.containers("worker")
    with httpx.Client(base_url=address, timeout=30) as stranger:
        assert stranger.get("/workers").status_code == 401
        assert stranger.get("/api/workers").status_code == 401
    user, _, password = stack.password("FLOWER_BASIC_AUTH").partition(":")
    with httpx.Client(base_url=address, timeout=30, auth=(user, password)) as somebody:
        assert somebody.get("/workers").status_code == 200
        name = f"worker@{worker['Config']['Hostname']}"
        eventually(lambda: name in somebody.get("/api/workers", params={"refresh": 1}).json(), every=1)


def test_nothing_runs_as_root_or_shows_a_password_to_ps(stack: Stack) -> None:
    passwords = _passwords(stack)
    for container in stack.containers(*LASTING):
        # Its main process and what descends from it: health checks come and go beside them.
        _, *lines = run(["docker", "top", container["Id"], "-eo", "pid,ppid,uid,args"]).splitlines()
        lasting, owners = {str(container["State"]["Pid"])}, set()
        for pid, parent, uid, _ in sorted((line.split(maxsplit=3) for line in lines), key=lambda line: int(line[0])):
            if pid in lasting or parent in lasting:
                lasting.add(pid)
                owners.add(uid)
        assert owners, lines
        assert "0" not in owners, lines
        assert not any(password in line for line in lines for password in passwords)
        assert not any(password in json.dumps(container) for password in passwords)
    for container in stack.containers(*OURS):
        assert container["Config"]["User"] == "10001:10001"


def test_redis_lets_in_the_programs_user_and_nobody_else(stack: Stack) -> None:
    assert stack.finished(stack.submit([REPORT]))["status"] == "SUCCESS"
    known = "export REDISCLI_AUTH=$(cat /run/secrets/redis/REDIS_PASSWORD)"
    for command in ("ping", "--user default ping", "--user millrace config get *", "--user millrace keys *"):
        said = stack.compose("exec", "-T", "redis", "sh", "-c", f"set -f; {known}; redis-cli {command} 2>&1 || true")
        assert re.search("NOAUTH|WRONGPASS|NOPERM", said), said
    logs = stack.compose("logs", "--no-color")
    assert "NOPERM" not in logs
    assert not any(password in logs for password in _passwords(stack))


def test_every_program_reads_the_passwords_that_it_needs_and_no_other(stack: Stack) -> None:
    """Nobody has set one: each was made at the first start."""
    assert len(set(_passwords(stack))) == 4
    needs = {
        "postgres": {"owner"},
        "redis": {"redis"},
        "flower": {"flower"},
        **{program: {"app", "redis"} for program in ("handler", "worker", "rescue", "webhooks")},
    }
    for service, folders in needs.items():
        found = stack.compose("exec", "-T", service, "ls", "/run/secrets").split()
        assert set(found) == folders, service


def test_only_loopback_is_published(stack: Stack) -> None:
    published = {
        (container["Config"]["Labels"]["com.docker.compose.service"], binding["HostIp"])
        for container in stack.containers()
        for bindings in container["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    }
    assert published == {("handler", "127.0.0.1"), ("flower", "127.0.0.1")}


def test_a_killed_worker_of_three_loses_nothing_and_doubles_nothing(stack: Stack) -> None:
    stack.up(workers=3)
    stack.compose("up", "--detach")  # as an upgrade does
    assert len(stack.containers("worker")) == 3
    reports = [REPORT | {"popularity": n % 6} for n in range(10_000)]  # as many as a chunk takes: a task each
    with stack.scores_locked():  # so that the workers stand still with their scores in hand
        ids = ",".join(f"'{stack.submit(reports)}'" for _ in range(10))
        count = f"SELECT count(*) FROM tasks WHERE id IN ({ids})"
        eventually(lambda: stack.psql(f"{count} AND status = 'STARTED'") == "3")
        run(["docker", "kill", "--signal=KILL", stack.containers("worker")[0]["Id"]])
    eventually(lambda: stack.psql(f"{count} AND status = 'SUCCESS'") == "10", every=0.5)
    assert stack.psql(f"{count} AND attempt = 2") == "1"
    rows = "count(*), count(DISTINCT (task_id, position))"
    assert stack.psql(f"SELECT {rows} FROM report_scores WHERE task_id IN ({ids})") == "100000|100000"


def test_a_restart_keeps_the_data(stack: Stack) -> None:
    task_id = stack.submit([REPORT])
    before = stack.finished(task_id)
    stack.compose("restart")
    eventually(lambda: stack.ready_processes(), every=0.5)
    assert stack.finished(task_id) == before
    assert stack.finished(stack.submit([REPORT]))["score"] == before["score"]


def test_a_password_that_is_set_later_is_taken_over_and_a_published_one_is_refused(stack: Stack) -> None:
    task_id = stack.submit([REPORT])
    before, made = stack.finished(task_id), _passwords(stack)
    new = {"POSTGRES_PASSWORD": "set-later", "POSTGRES_APP_PASSWORD": "this-too", "REDIS_PASSWORD": "and-this"}
    stack.configure(**new)
    stack.up("--force-recreate")
    assert {name: stack.password(name) for name in new} == new
    assert stack.finished(task_id) == before
    stack.configure()  # deleted again: what was set is kept
    stack.up("--force-recreate")
    assert {name: stack.password(name) for name in new} == new
    assert stack.password("FLOWER_BASIC_AUTH").rpartition(":")[2] in made
    stack.configure(POSTGRES_PASSWORD="change-me-postgres")
    try:
        with pytest.raises(AssertionError, match=r"POSTGRES_PASSWORD in \.env is a published example"):
            stack.compose("run", "--rm", "passwords")
        assert stack.finished(stack.submit([REPORT]))["status"] == "SUCCESS"  # it has stopped nothing
        with pytest.raises(AssertionError, match="passwords"):
            stack.compose("up", "--detach")
        assert "POSTGRES_PASSWORD in .env is a published example" in stack.compose("logs", "--no-color", "passwords")
    finally:
        stack.configure()
    stack.up()


def _passwords(stack: Stack) -> list[str]:
    return [stack.password(name).rpartition(":")[2] for name in PASSWORDS]


def test_a_dump_is_restored_into_an_empty_server_by_the_commands_of_the_page(stack: Stack, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "back-up.md").read_text(encoding="utf-8")
    backup, restore = re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)[:2]
    task_id = stack.submit([REPORT])
    before = stack.finished(task_id)
    stack.compose("stop", "worker")
    waiting = stack.submit([REPORT])
    stack.shell(backup, tmp_path)
    stack.compose("down", "--volumes")
    stack.shell(restore, tmp_path)
    eventually(stack.ready_processes, within=120, every=0.5)
    assert stack.finished(task_id) == before
    assert stack.finished(waiting)["status"] == "SUCCESS"
