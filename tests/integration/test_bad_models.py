"""A model that cannot be loaded, or is no longer served, is named and harms no other."""

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, text

from migrations import revisions
from tests.faults import catalogue
from tests.running import REPORT, Platform, eventually

QUICK = {"RESCUE_INTERVAL_SECONDS": "0.5", "LEASE_SECONDS": "2"}


def submit(platform: Platform) -> str:
    answer = platform.client.post("/models/faulty/submit", json=[{"act": "score", "number": 4}])
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("model.py", "raise ImportError('no such runtime')", "ImportError: no such runtime"),
        ("model.py", "def load(artifact): raise ValueError('not a model file')", "ValueError: not a model file"),
        ("model.py", "import os\ndef load(artifact): os._exit(9)", "ended with status 9"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_named_and_the_others_are_served(
    database_url: str, redis_url: str, engine: Engine, tmp_path: Path, file: str, content: str, reason: str
) -> None:
    catalogue.create_table(engine)
    settings = catalogue.copy_with_faulty(tmp_path)
    (tmp_path / "models" / "faulty" / file).write_text(content)
    platform = Platform(database_url, redis_url, tmp_path, **settings, **QUICK)
    platform._models = lambda: ["report_scorer"]  # type: ignore[method-assign]
    with platform:
        assert platform.finished(platform.submit(REPORT))["status"] == "SUCCESS"
        unloaded = eventually(lambda: platform.client.get("/health/ready").json()["unloaded"])
        assert reason in unloaded["faulty"]
        ready = platform.client.get("/health/ready").json()
        assert ready["ready"] is True
        assert ready["models"]["faulty"] == 0
        waits = submit(platform)
        assert platform.client.get(f"/task/{waits}").json()["status"] == "PENDING"
        log = (tmp_path / "worker.log").read_text()
        assert "model_unloaded" in log
        assert "faulty" in log


KEY, UNKEEPABLE = "Annotated[str | None, Field(max_length=64, pattern=NO_NUL)]", "Annotated[list[int] | None, Field()]"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda spec: "SPEC = oops", "NameError"),
        (lambda spec: spec.replace(KEY, UNKEEPABLE), "TypeError: field 'key'"),
        (lambda spec: spec.replace("le=1000", "le=1000, multiple_of=2"), "TypeError: constraint"),
    ],
    ids=["a fault in Python", "a field that no column keeps", "a rule that nobody checks"],
)
def test_a_spec_that_cannot_be_served_is_named_and_keeps_no_other_model_from_being_served(
    database_url: str,
    redis_url: str,
    engine: Engine,
    tmp_path: Path,
    change: Callable[[str], str],
    reason: str,
) -> None:
    catalogue.create_table(engine)
    settings = catalogue.copy_with_faulty(tmp_path)
    file = tmp_path / "models" / "faulty" / "spec.py"
    spec = file.read_text()
    file.write_text(change(spec))
    assert file.read_text() != spec
    platform = Platform(database_url, redis_url, tmp_path, **settings)
    platform._models = lambda: ["report_scorer"]  # type: ignore[method-assign]
    with platform:
        assert platform.finished(platform.submit(REPORT))["status"] == "SUCCESS"
        assert "model_refused" in (tmp_path / "handler.log").read_text()
        unloaded = eventually(lambda: platform.client.get("/health/ready").json()["unloaded"])
        assert reason in unloaded["faulty"]
        assert platform.client.post("/models/faulty/submit", json=[{"act": "score"}]).status_code == 404


def test_what_waits_for_a_model_that_is_served_no_more_fails_with_the_reason_and_what_is_done_stays(
    database_url: str, redis_url: str, engine: Engine, tmp_path: Path
) -> None:
    catalogue.create_table(engine)
    settings = catalogue.copy_with_faulty(tmp_path)
    with Platform(database_url, redis_url, tmp_path, **settings, **QUICK) as platform:
        done = submit(platform)
        assert platform.finished(done)["double"] == [8]
        platform.worker.stop()
        waits = submit(platform)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE tasks SET submitted_at = submitted_at - interval '1 hour' WHERE finished_at IS NULL")
        )
        connection.execute(text("DELETE FROM workers"))  # a minute later
    with Platform(database_url, redis_url, tmp_path, **QUICK) as platform:
        task = platform.finished(waits)
        assert (task["status"], "faulty is no longer served here" in str(task["error"])) == ("FAILURE", True)
        kept = platform.client.get(f"/task/{done}")
        assert (kept.status_code, kept.json()["status"], kept.json()["model"]) == (200, "SUCCESS", "faulty")
        assert platform.finished(platform.submit(REPORT))["status"] == "SUCCESS"
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM faulty_answers")).scalar_one() == 1


def test_the_next_migration_drops_no_table_of_a_model_that_is_served_no_more(engine: Engine, database_url: str) -> None:
    catalogue.create_table(engine)
    command.check(revisions.config(database_url))  # raises where it would change something
