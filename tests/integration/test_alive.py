"""`worker.alive`, which containers are restarted by: a worker that hears nothing is not alive, one without work is."""

import subprocess
import sys
from pathlib import Path

from sqlalchemy import Engine, text

from broker.config import create_celery
from broker.message import queue_of
from tests.running import REPORT, ROOT, Platform, eventually


def test_a_worker_that_no_longer_takes_what_waits_for_it_is_not_alive(
    database_url: str, redis_url: str, tmp_path: Path, engine: Engine
) -> None:
    def alive() -> tuple[int, str]:
        command = [sys.executable, "-m", "worker.alive"]
        environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)
        return done.returncode, done.stdout + done.stderr

    assert alive()[0] == 1
    celery, queue = create_celery(redis_url), queue_of("report_scorer")
    with Platform(database_url, redis_url, tmp_path) as platform:
        platform.finished(platform.submit(REPORT))
        assert alive() == (0, "worker is alive\n")
        celery.control.cancel_consumer(queue, reply=True)
        task_id = platform.submit(REPORT)
        assert alive()[0] == 0, "a task that has just come says nothing yet"
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE tasks SET published_at = now() - interval '1 minute' WHERE status = 'PENDING'")
            )
        status, said = alive()
        assert status == 1
        assert "is idle, and messages for report_scorer wait" in said
        celery.control.add_consumer(queue, reply=True)
        assert platform.finished(task_id)["status"] == "SUCCESS"
        eventually(lambda: alive()[0] == 0)
    celery.close()
