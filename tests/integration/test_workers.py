"""Who scores what: GET /workers, and the models that a worker is told to load."""

import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from millrace_client.cli.main import main
from sqlalchemy import text
from uuid_utils.compat import uuid7

from serving.catalogue import specs
from store.engine import connect
from store.workers import LISTED
from tests.running import REPORT, ROOT, Platform, eventually
from tests.scraping import sample

NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing", "REDIS_URL": "redis://127.0.0.1:1"}


def test_a_worker_is_listed_with_what_it_has_loaded_and_done(platform: Platform) -> None:
    def listed() -> dict[str, Any]:
        (worker,) = platform.client.get("/workers/status").json()
        return dict(worker)

    def done() -> int:
        (worker,) = platform.client.get("/workers").json()
        return int(worker["tasks_done"])

    before = done()
    for _ in range(3):
        platform.finished(platform.submit(REPORT, REPORT))
    eventually(lambda: done() >= before + 3)
    eventually(lambda: listed()["status"] == "idle")  # it writes so a moment after the answer
    worker = listed()
    assert {loaded["model"] for loaded in worker["models"]} == set(specs())
    assert worker["model"] is None
    assert datetime.fromisoformat(worker["since"]).timestamp() < time.time()


def test_hits_of_the_score_cache_are_counted(platform: Platform) -> None:
    def counted() -> tuple[int, int]:
        (worker,) = platform.client.get("/workers").json()
        (loaded,) = (model for model in worker["models"] if model["model"] == "text_classifier")
        return loaded["inputs_done"], loaded["cache_hits"]

    text = {"text": f"A text that nobody has sent before: {time.monotonic_ns()}"}
    inputs, hits = counted()
    for _ in range(3):
        answer = platform.client.post("/models/text_classifier/submit", json=[text])
        platform.finished(answer.json()["task_id"])
    eventually(lambda: counted() == (inputs + 3, hits + 2))


def test_a_worker_that_has_gone_is_not_listed_for_long(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with Platform(database_url, redis_url, tmp_path) as platform:
        assert len(platform.client.get("/workers").json()) == 1
        platform.worker.process.kill()
        eventually(lambda: platform.client.get("/workers").json() == [])


def test_a_worker_that_is_to_load_an_unknown_model_says_which_there_are(database_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "worker"],
        cwd=ROOT,
        env={**NOWHERE, "DATABASE_URL": database_url, "WORKER_MODELS": "report_scorer,nonsense"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "no model nonsense; there is: " in done.stderr
    assert "report_scorer" in done.stderr


def test_a_worker_says_how_much_memory_it_holds(platform: Platform) -> None:
    (worker,) = platform.client.get("/workers").json()
    assert 50 * 2**20 < worker["resident_bytes"] < 16 * 2**30
    measured = sample(platform, "worker", "millrace_worker_resident_bytes")
    assert measured / 2 < worker["resident_bytes"] < measured * 2


def test_a_worker_of_a_release_that_does_not_measure_has_no_memory(database_url: str) -> None:
    """It writes what it knows, and the pages have a dash."""
    engine = connect(database_url)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO workers (id, model, model_version, host, pid) VALUES (:id, 'm', '1', 'old', 1)"),
            {"id": uuid7()},
        )
        (row,) = connection.execute(LISTED).all()
    engine.dispose()
    assert row.resident_bytes is None
    done = CliRunner().invoke(main, ["status", "--once"], env={"DATABASE_URL": database_url, "REDIS_URL": ""})
    assert "old" in done.output
    assert "MiB" not in done.output
