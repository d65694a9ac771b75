"""The liveness probes, by which containers are restarted: a worker that hears nothing fails, an idle one does not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.running import REPORT, ROOT, Platform, Program, eventually


def test_a_worker_that_no_longer_takes_what_waits_for_it_is_not_alive(
    database_url: str, redis_url: str, tmp_path: Path, engine: Engine
) -> None:
    def alive() -> tuple[int, str]:
        command = [sys.executable, "-m", "worker.liveness"]
        environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    assert alive()[0] == 1
    with Platform(database_url, redis_url, tmp_path) as platform:
        platform.finished(platform.submit(REPORT))
        assert alive() == (0, "worker is alive\n")
        platform.rescue.stop()  # it would publish the task again
        platform.worker.process.send_signal(signal.SIGSTOP)  # its main process, which takes messages
        platform.submit(REPORT)  # Redis gives its message to the stopped process, which had asked for one
        task_id = platform.submit(REPORT)
        assert alive()[0] == 0, "a task that has just come says nothing yet"
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE tasks SET published_at = now() - interval '1 minute' WHERE status = 'PENDING'")
            )
        eventually(lambda: alive()[0] == 1)  # the handler publishes after its answer
        assert "is idle, and messages for report_scorer wait" in alive()[1]
        platform.worker.process.send_signal(signal.SIGCONT)
        assert platform.finished(task_id)["status"] == "SUCCESS"
        eventually(lambda: alive()[0] == 0)


@pytest.mark.parametrize("program", ["rescue", "webhooks"])
def test_a_program_that_begins_no_rounds_is_not_alive(
    program: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "TMPDIR": str(tmp_path), "METRICS": "off"}

    def alive() -> int:
        command = [sys.executable, "-m", f"{program}.liveness"]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True).returncode

    assert alive() == 1
    running = Program(program, [program], environment, tmp_path)
    try:
        eventually(lambda: alive() == 0)
        (last_round,) = tmp_path.glob(f"*{program}-last-round")
        running.process.send_signal(signal.SIGSTOP)
        os.utime(last_round, (time.time() - 60, time.time() - 60))
        assert alive() == 1
        running.process.send_signal(signal.SIGCONT)
        eventually(lambda: alive() == 0)
    finally:
        running.stop()
