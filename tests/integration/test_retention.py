"""Old texts and images are emptied, young ones and everything else stay; by rescue, or by the command."""

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, text

from cli.redact import redact
from registry import versions
from registry.versions import Registry, personal_columns
from rescue.retention import Retention
from serving.catalogue import specs
from store import retention, transitions
from store.engine import connect
from tests.conftest import as_app
from tests.running import ROOT, eventually

DAY = timedelta(days=1)
WRITTEN = "what somebody wrote"
LABEL = """
    INSERT INTO text_labels
    VALUES (:id, 0, :text, 'd-1', 'hockey', 0.9, '{hockey}', '{0.9}', false, '1', now() - :age)
"""
TRANSLATION = "INSERT INTO translations VALUES (:id, 0, :text, 'en', 'ja', 't-1', :text, false, '1', now() - :age)"
IMAGE = """
    INSERT INTO image_labels
    VALUES (:id, 0, convert_to(:text, 'utf8'), 1, 'i-1', '8', 1, '{8}', '{1}', false, '1', now() - :age)
"""
TASK = """
    INSERT INTO tasks (id, model, status, n_inputs, submitted_at, finished_at, error)
    VALUES (:id, :model, :status, 1, now() - :age, now() - :age, :error)
"""
INPUT = "INSERT INTO task_inputs VALUES (:id, convert_to(:text, 'utf8'))"


ROWS = {"text_classifier": LABEL, "translator": TRANSLATION, "image_classifier": IMAGE}


def registry(engine: Engine) -> Registry:
    with engine.connect() as connection:
        return versions.read(connection)


def id_of(days: int) -> UUID:
    """Make a task's id of that age: they are ordered by time."""
    return UUID(int=(int((time.time() - days * 86_400) * 1000) << 80) | secrets.randbits(80))


@pytest.fixture
def aged(engine: Engine) -> Engine:
    """Predictions and failed tasks of 0, 10, 40 and 60 days."""
    with engine.begin() as connection:
        for days in (0, 10, 40, 60):
            for model, statement in ROWS.items():
                values: dict[str, Any] = {
                    "id": id_of(days),
                    "text": f"{WRITTEN} {days}",
                    "age": days * DAY,
                    "model": model,
                }
                connection.execute(text(TASK), values | {"status": "SUCCESS", "error": None})
                connection.execute(text(statement), values)
                failed = values | {"id": id_of(days), "status": "FAILURE", "error": f"ValueError: '{WRITTEN}' is odd"}
                connection.execute(text(TASK), failed)
                connection.execute(text(INPUT), failed)
            waiting = {
                "id": id_of(days),
                "text": WRITTEN,
                "age": days * DAY,
                "model": "translator",
                "status": "PENDING",
            }
            connection.execute(text(TASK), waiting | {"error": None})
            connection.execute(text(INPUT), waiting)
    return engine


def kept(engine: Engine) -> dict[str, int]:
    """Count what still has a text in it."""
    questions = {
        "texts": f"SELECT count(*) FROM text_labels WHERE text LIKE '{WRITTEN}%'",
        "translations": f"SELECT count(*) FROM translations WHERE text <> '' AND translation LIKE '{WRITTEN}%'",
        "images": "SELECT count(*) FROM image_labels WHERE octet_length(image) > 0",
        "inputs": "SELECT count(*) FROM task_inputs JOIN tasks ON id = task_id WHERE status = 'FAILURE'",
        "errors": f"SELECT count(*) FROM tasks WHERE error LIKE '%{WRITTEN}%'",
        "waiting": "SELECT count(*) FROM task_inputs JOIN tasks ON id = task_id WHERE status = 'PENDING'",
        "labels": "SELECT count(*) FROM text_labels WHERE label = 'hockey' AND document_id = 'd-1'",
    }
    with engine.connect() as connection:
        return {name: connection.execute(text(question)).scalar_one() for name, question in questions.items()}


YOUNG = {"texts": 2, "translations": 2, "images": 2, "inputs": 6, "errors": 6, "waiting": 4, "labels": 4}


@pytest.fixture
def programs(database_url: str) -> Iterator[Engine]:
    """PostgreSQL as the programs see it, whose role may empty these columns and change nothing else of a row."""
    programs = connect(as_app(database_url))
    yield programs
    programs.dispose()


def test_what_is_too_old_is_emptied_and_the_rest_stays(
    aged: Engine, programs: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LIMIT", 1)  # so that it takes several batches
    monkeypatch.setattr("rescue.retention.TURN", 60.0)
    keeper = Retention(programs.begin, 30 * DAY, registry(programs))
    assert keeper.turn() == 12
    assert kept(aged) == YOUNG
    assert keeper.turn() == 0
    with aged.begin() as connection:  # time passes: a month, for one of the tables
        connection.execute(text("UPDATE text_labels SET scored_at = now() - interval '30 days' WHERE text LIKE '% 10'"))
    assert keeper.turn() == 1
    assert kept(aged) == YOUNG | {"texts": 1}


def test_a_turn_is_short_and_the_next_one_goes_on(
    aged: Engine, programs: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rescue.retention.TURN", 0.0)
    keeper = Retention(programs.begin, 30 * DAY, registry(programs))
    turns = 0
    while kept(aged) != YOUNG:
        keeper.turn()
        turns += 1
        assert turns < 100
    assert turns > 20  # a day each


def test_the_command_says_what_it_has_done(aged: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    done = CliRunner().invoke(redact, ["--older-than", "30d", "--model", "text_classifier"])
    assert done.output == "4 rows of text_classifier redacted\n"
    assert kept(aged) == YOUNG | {"translations": 4, "images": 4, "inputs": 10, "errors": 10}
    assert CliRunner().invoke(redact, ["--older-than", "30d"]).exit_code == 0
    assert kept(aged) == YOUNG
    for arguments in ([], ["--older-than", "soon"], ["--older-than", "1d", "--model", "report_scorer"]):
        assert CliRunner().invoke(redact, arguments).exit_code == 2


def test_rescue_does_it_when_it_is_told_to(aged: Engine, database_url: str, redis_url: str, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": as_app(database_url), "REDIS_URL": redis_url, "TEXT_RETENTION_DAYS": "30"}
    with (tmp_path / "log").open("w") as log:
        rescue = subprocess.Popen(
            [sys.executable, "-m", "rescue"], cwd=ROOT, env={**os.environ, **settings}, stdout=log, stderr=log
        )
    try:
        eventually(lambda: kept(aged) == YOUNG)
    finally:
        rescue.terminate()
        rescue.wait(60)
    assert "texts_redacted" in (tmp_path / "log").read_text()


def test_a_replay_that_meets_retention_leaves_no_task_without_inputs(engine: Engine) -> None:
    failed_id = id_of(40)
    failed = {"id": failed_id, "model": "translator", "status": "FAILURE", "age": 40 * DAY, "error": "E", "text": "[]"}
    with engine.begin() as connection:
        connection.execute(text(TASK), failed)
        connection.execute(text(INPUT), failed)
    replayed: list[set[UUID]] = []

    def replay() -> None:
        with engine.begin() as connection:
            replayed.append(transitions.replay_these(connection, [failed_id]))

    def waits() -> bool:
        with engine.connect() as connection:
            lock = text("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
            return connection.execute(lock).rowcount > 0

    with engine.begin() as connection:
        connection.execute(text("SELECT FROM tasks FOR UPDATE"))  # as retention does it, too
        connection.execute(text("DELETE FROM task_inputs"))
        beside = threading.Thread(target=replay)
        beside.start()
        eventually(waits)
    beside.join()
    assert replayed == [set()]


def test_every_personal_column_is_one_that_is_stored() -> None:
    for spec in specs().values():
        stored = {column.name: column.kind for column in spec.stored_columns}
        assert {stored[name] for name in spec.personal} <= {"text", "bytes"}
        assert spec.key not in spec.personal


def test_what_takes_too_long_is_done_in_smaller_parts(aged: Engine) -> None:
    """A statement over a dense day is ended before it holds up rescue, and then a part of the day is looked at."""
    with aged.begin() as connection:
        connection.execute(text("DELETE FROM text_labels"))
        connection.execute(
            text("""
            INSERT INTO text_labels
            SELECT gen_random_uuid(), 0, 'old', NULL, 'hockey', 1, '{hockey}', '{1}', false, '1',
                date_trunc('day', now()) - interval '40 days' + n * interval '10 minutes'
            FROM generate_series(1, 40) AS n
            """)
        )
        connection.execute(
            text("""
            CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END $$
            """)
        )
        connection.execute(
            text("CREATE TRIGGER slow BEFORE UPDATE ON text_labels FOR EACH ROW EXECUTE FUNCTION slow()")
        )
    what = {"text_classifier": personal_columns(registry(aged))["text_classifier"]}
    with aged.begin() as connection:
        since, before = retention.oldest(connection), retention.cutoff(connection, 30 * DAY)
    assert since is not None
    steps = [rows for _, rows in retention.redact(aged.begin, what, since, before, retention.Slice(seconds=1))]
    assert max(steps) <= 20
    assert sum(steps) >= 40
    with aged.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM text_labels WHERE text = 'old'")) == 0
